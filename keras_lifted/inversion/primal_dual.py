"""Primal-dual steps on the input of a network.

    min_u  f(u) + g(u) + Σ_i h_i(A_i u)

with the energy f (smooth, its hidden lifted variables moved along the way), at most
one regularizer g of u itself, and regularizers h_i of linear images of u, each with a
dual variable p_i. All weights are within g and h_i.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import vector_jacobian
from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.swept import Lifted
from keras_lifted.regularizers.base import Regularizer

Tensor = Any
State = dict[str, Any]
# sweep(u, carriers) -> (∂f/∂u, new carriers)
Sweep = Callable[[Tensor, Lifted], tuple[Tensor, Lifted]]

# The dual part's share of a step, `Σ_i s_i ‖A_i‖² = b L`: at the start, and its range.
BALANCE = 0.1
LEAST, MOST = 1e-6, 1.0
# Factor on the ratio of the sizes of duals and input, where they are first guessed.
REACH = 4.0
# A young iteration is not restarted.
_YOUNG = 5


@dataclasses.dataclass(frozen=True)
class PrimalDual:
    """PDHG with a gradient step on f, plain or accelerated.

    Plain (Condat, Vũ): with `s_i = b L/(n ‖A_i‖²)`,

        u⁺   = prox_{τg}(u − τ(∇f(u) + Σ A_iᵀ p_i)),   τ L (1/2 + b) = 1
        p_i⁺ = prox_{s_i h_i*}(p_i + s_i A_i (2u⁺ − u))

    Accelerated (Chen, Lan, Ouyang): the gradient is taken at a mean `m` of the
    iterates whose latest have the greatest weight, in step k since a restart

        m = (1 − β) ū + β u,   β = 2/(k + 1),   θ = (k − 1)/k
        p_i⁺ = prox_{s_i h_i*}(p_i + s_i A_i (u + θ (u − u₋)))
        u⁺   = prox_{ηg}(u − η(∇f(m) + Σ A_iᵀ p_i⁺)),   η L (2/k + b) = 1
        ū⁺   = (1 − β) ū + β u⁺

    Hidden variables are extrapolated by `(k − 1)/(k + 2)` of their last change before
    they step. Without them the error falls like `L/k² + ‖A‖/k`; a sample restarts from
    ū once ū and they move against their last step, `⟨m − ū⁺, ū⁺ − ū⟩ > 0`.

    `b` starts at BALANCE, and from a start that is not 0 at most at the ratio of sizes
    `Σ REACH alpha weight_i ‖A_i‖/(L r)`, r its root mean square. At every check it
    becomes `√(b Σ ‖A_i‖ ‖Δp_i‖/(L ‖Δū‖))` of what has moved since the last one: steps
    of duals and input are then as far apart as their ways are (primal weights:
    Applegate et al., 2021). Small alpha take u farther at first; close to the solution
    the duals take larger steps again.

    Sources: Condat, 2013; Vũ, 2013; Chen, Lan, Ouyang, "Optimal primal-dual methods
    for a class of saddle point problems", 2014; O'Donoghue & Candès, 2015 (restart);
    Applegate et al., "Practical large-scale linear programming using primal-dual
    hybrid gradient", 2021.

    Attributes:
        direct: g, or None.
        duals: the h_i.
        accelerated: which scheme.
    """

    direct: Regularizer | None
    duals: tuple[Regularizer, ...]
    accelerated: bool

    @classmethod
    def of(cls, regularizer: Regularizer, accelerated: bool) -> PrimalDual:
        """The scheme for these regularizers; constraints stay with u itself."""
        direct = [term for term in regularizer.terms if term.direct]
        first = min(direct, key=_is_soft, default=None)
        duals = tuple(term for term in regularizer.terms if term is not first)
        return cls(first, duals, accelerated)

    def start(self, u: Tensor, carriers: Lifted) -> State:
        """The state before the first step: a structure of tensors, by sample.

        `u` and `before` are the last two iterates, `mean` is ū, `duals` are the p_i,
        `age` is k, `balance` is b, `checked` are ū and the p_i at the last check, and
        `hidden` are the hidden variables before the last step; the plain scheme moves
        `u`, `mean` and `duals` alone.
        """
        zeros = [ops.zeros_like(term.operator(u)) for term in self.duals]
        zero = ops.zeros((u.shape[0],), real_dtype())
        return {
            "u": u,
            "before": u,
            "mean": u,
            "duals": zeros,
            "age": zero,
            "balance": zero + (BALANCE if self.duals else 0.0),
            "checked": {"mean": u, "duals": zeros},
            "hidden": carriers,
        }

    def balanced(self, state: State, alpha: Tensor, lipschitz: Tensor) -> State:
        """The state with the `b` of what has moved since the last call."""
        now = {"mean": state["mean"], "duals": state["duals"]}
        old, b, u = state["checked"], state["balance"], now["mean"]
        ways, sizes = ops.zeros_like(b), ops.zeros_like(b)
        for term, p, q in zip(self.duals, now["duals"], old["duals"], strict=True):
            length = term.operator_bound(tuple(u.shape[1:])) ** 0.5
            ways = ways + length * norm(p - q)
            sizes = sizes + REACH * alpha * term.weight * length
        size = lipschitz * norm(u) / math.prod(u.shape[1:]) ** 0.5
        moved = lipschitz * norm(u - old["mean"])
        guess = ops.minimum(b, sizes / ops.maximum(size, _TINY))
        both = ops.logical_and(ways > 0, moved > 0)
        found = ops.sqrt(b * ways / ops.where(both, moved, 1.0))
        b = ops.where(both, ops.clip(found, LEAST, MOST), guess)
        return {**state, "balance": b, "checked": now}

    def step(
        self,
        sweep: Sweep,
        state: State,
        carriers: Lifted,
        alpha: Tensor,
        lipschitz: Tensor,
    ) -> tuple[State, Lifted]:
        """One step of every sample.

        Args:
            sweep: the gradient of f, and new hidden variables.
            state: from `start` or the last step.
            carriers: of the hidden lifted variables.
            alpha: factor on all regularizers, `(batch,)`.
            lipschitz: L, `(batch,)`.
        """
        if self.accelerated:
            return self._accelerated(sweep, state, carriers, alpha, lipschitz)
        u, duals = state["u"], state["duals"]
        gradient, carriers = sweep(u, carriers)
        total = 0.5 + state["balance"]
        new = self._primal(u, gradient, duals, alpha, 1.0 / (total * lipschitz))
        ahead = 2.0 * new - u
        duals = self._dual(ahead, duals, alpha, state["balance"] * lipschitz)
        return {**state, "u": new, "mean": new, "duals": duals}, carriers

    def _accelerated(
        self,
        sweep: Sweep,
        state: State,
        carriers: Lifted,
        alpha: Tensor,
        lipschitz: Tensor,
    ) -> tuple[State, Lifted]:
        u, mean, age = state["u"], state["mean"], state["age"] + 1.0
        beta = per_sample(2.0 / (age + 1.0), u)
        middle = mean + beta * (u - mean)
        ahead = u + per_sample((age - 1.0) / age, u) * (u - state["before"])
        share = state["balance"] * lipschitz
        duals = self._dual(ahead, state["duals"], alpha, share)
        along = (age - 1.0) / (age + 2.0)
        thrown = {
            key: s + per_sample(along, s) * (s - state["hidden"][key])
            for key, s in carriers.items()
        }
        gradient, swept = sweep(middle, thrown)
        total = 2.0 / age + state["balance"]
        new = self._primal(u, gradient, duals, alpha, 1.0 / (total * lipschitz))
        moved = mean + beta * (new - mean)
        turn = _dot(middle - moved, moved - mean)
        for key, s in swept.items():
            turn = turn + _dot(thrown[key] - s, s - carriers[key])
        again = ops.logical_and(turn > 0, age > _YOUNG)
        restart = per_sample(again, u)
        state = {
            **state,
            "u": ops.where(restart, moved, new),
            "before": ops.where(restart, moved, u),
            "mean": moved,
            "duals": duals,
            "age": ops.where(again, 0.0, age),
            "hidden": {
                key: ops.where(per_sample(again, s), s, carriers[key])
                for key, s in swept.items()
            },
        }
        return state, swept

    def _primal(
        self, u: Tensor, gradient: Tensor, duals: Any, alpha: Tensor, step: Tensor
    ) -> Tensor:
        """`prox_{step g}(u − step(∇f + Σ A_iᵀ p_i))`."""
        moved = u - per_sample(step, u) * (gradient + self.pull(u, duals))
        if self.direct is None:
            return moved
        return self.direct.prox(moved, per_sample(step * alpha * self.direct.weight, u))

    def _dual(
        self, u: Tensor, duals: Any, alpha: Tensor, share: Tensor
    ) -> list[Tensor]:
        """`prox_{s h*}(p + s A u)`, by the prox of h (Moreau); `Σ s ‖A‖² = share`."""
        new = []
        for term, p in zip(self.duals, duals, strict=True):
            bound = term.operator_bound(tuple(u.shape[1:]))
            s = share / (len(self.duals) * bound)
            weight = per_sample(alpha * term.weight / s, p)
            s = per_sample(s, p)
            q = p / s + term.operator(u)
            new.append(s * (q - term.prox(q, weight)))
        return new

    def pull(self, u: Tensor, duals: Any) -> Tensor:
        """`Σ A_iᵀ p_i`, in the shape of u."""
        total = ops.zeros_like(u)
        for term, p in zip(self.duals, duals, strict=True):
            total = total + (p if term.direct else vector_jacobian(term.operator, u, p))
        return total

    def residual(
        self,
        gradient: Tensor,
        u: Tensor,
        duals: Any,
        alpha: Tensor,
        lipschitz: Tensor,
    ) -> Tensor:
        """Relative residual of the optimality conditions, `(batch,)`.

        How far a plain step of length 1/L would move u, against `∇f`, and each p,
        against p; 0 exactly at a saddle point.
        """
        moved = self._primal(u, gradient, duals, alpha, 1.0 / lipschitz)
        size = norm(gradient) + norm(self.pull(u, duals))
        worst = lipschitz * norm(moved - u) / ops.maximum(size, _TINY)
        stepped = self._dual(u, duals, alpha, BALANCE * lipschitz)
        for p, q in zip(duals, stepped, strict=True):
            size = norm(p) + norm(q)
            worst = ops.maximum(worst, norm(q - p) / ops.maximum(size, _TINY))
        return worst


_TINY = 1e-30


def _is_soft(term: Regularizer) -> bool:
    return not term.constraint


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return sum_per_sample(a * b)


def norm(a: Tensor) -> Tensor:
    """`‖a‖₂` of each sample, `(batch,)`."""
    return ops.sqrt(_dot(a, a))
