"""Primal-dual steps on the input of a network.

    min_u  f(u) + g(u) + Σ_i h_i(A_i u)

with the energy f (smooth, its hidden lifted variables moved along the way), at most
one regularizer g of u itself, and functions h_i of affine images of u, each with a
dual variable p_i. All weights are within g and h_i.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from keras_lifted.backend import vector_jacobian
from keras_lifted.layers.gradients import per_sample, sum_per_sample
from keras_lifted.lifting.swept import Lifted
from keras_lifted.regularizers.base import Regularizer

Tensor = Any
State = dict[str, Any]
# sweep(u, coordinates) -> (∂f/∂u, new coordinates)
Sweep = Callable[[Tensor, Lifted], tuple[Tensor, Lifted]]

# The dual part's share of a step, `Σ_i s_i ‖A_i‖² = b L`: at the start, and its range.
BALANCE = 0.1
LEAST, MOST = 1e-6, 100.0
# Factor on the ratio of the sizes of duals and input, where they are first guessed.
REACH = 4.0
# A young iteration is not restarted.
_YOUNG = 5
# Changes below this share of the tolerance, relative to the variable itself, are none.
_STILL = 1e-3
# The least of what is divided by.
TINY = 1e-30
# A proximal step so short that it only projects onto the domain.
_SHORT = 1e-6


class Term(NamedTuple):
    """`factor · h(A u)`, convex, with a proximal map of `h`.

    Attributes:
        operator: `u -> A u`, affine.
        bound: an upper bound of `‖A‖²`, a number or `(batch,)`.
        source: the regularizer that h is, where A is the identity.
    """

    value: Callable[[Tensor], Tensor]
    prox: Callable[[Tensor, Tensor], Tensor]
    factor: Tensor
    operator: Callable[[Tensor], Tensor]
    bound: Any
    source: Regularizer | None = None

    def weighted(self, v: Tensor) -> Tensor:
        """Return `factor · h(v)`, `(batch,)`."""
        return self.factor * self.value(v)

    def near(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return `weighted` at v, and how far v is outside of the domain of h.

        Where it is outside, the value is that of the nearest point: a proximal map
        keeps `A u` within the domain in the limit only.
        """
        value = self.weighted(v)
        nearest = self.prox(v, per_sample(ops.full_like(self.factor, _SHORT), v))
        away = norm(v - nearest) + TINY
        finite = ops.isfinite(value)
        value = ops.where(finite, value, self.weighted(nearest))
        return value, ops.where(finite, 0.0, away)


class PrimalDual(NamedTuple):
    """PDHG with a gradient step on f, plain or accelerated.

    Plain (Condat, Vũ): with `s_i = b L/(n ‖A_i‖²)`,

        u⁺   = prox_{τg}(u − τ(∇f(u) + Σ A_iᵀ p_i)),   τ L (1 + b) = 1
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
    `Σ REACH factor_i ‖A_i‖/(L r)`, r its root mean square. At every check it
    becomes `√(b Σ ‖A_i‖ ‖Δp_i‖/(L ‖Δū‖))` of what has moved since the last one: steps
    of duals and input are then as far apart as their ways are (primal weights:
    Applegate et al., 2021). Small alpha take u farther at first; close to the solution
    the duals take larger steps again.

    Sources: Condat, 2013; Vũ, 2013; Chen, Lan, Ouyang, "Optimal primal-dual methods
    for a class of saddle point problems", 2014; O'Donoghue & Candès, 2015 (restart);
    Applegate et al., "Practical large-scale linear programming using primal-dual
    hybrid gradient", 2021.

    Attributes:
        direct: Term. The g, or None.
        duals: tuple of Term. The h_i.
        lipschitz: tensor, `(batch,)`. L.
        accelerated: bool. Which of the two schemes it is.
    """

    direct: Term | None
    duals: tuple[Term, ...]
    lipschitz: Tensor
    accelerated: bool

    def start(self, u: Tensor, coordinates: Lifted) -> State:
        """Return the state before the first step: a structure of tensors, by sample.

        `before` and `hidden` are u and the hidden variables a step ago, `mean` is ū,
        `age` is k, `balance` is b, `checked` are ū and the p_i at the last check.
        """
        zeros = [ops.zeros_like(term.operator(u)) for term in self.duals]
        zero = ops.zeros((u.shape[0],), u.dtype)
        return {
            "u": u,
            "before": u,
            "mean": u,
            "duals": zeros,
            "age": zero,
            "balance": zero + (BALANCE if self.duals else 0.0),
            "checked": {"mean": u, "duals": zeros},
            "hidden": coordinates,
        }

    def balanced(self, state: State) -> State:
        """Return the state with the `b` of what has moved since the last call."""
        now = {"mean": state["mean"], "duals": state["duals"]}
        old, b, u = state["checked"], state["balance"], now["mean"]
        ways, sizes = ops.zeros_like(b), ops.zeros_like(b)
        for term, p, q in zip(self.duals, now["duals"], old["duals"], strict=True):
            length = term.bound**0.5
            ways = ways + length * norm(p - q)
            sizes = sizes + REACH * term.factor * length
        size = self.lipschitz * norm(u) / math.prod(u.shape[1:]) ** 0.5
        moved = self.lipschitz * norm(u - old["mean"])
        guess = ops.minimum(b, sizes / ops.maximum(size, TINY))
        both = ops.logical_and(ways > 0, moved > 0)
        found = ops.sqrt(b * ways / ops.where(both, moved, 1.0))
        b = ops.where(both, ops.clip(found, LEAST, MOST), guess)
        return {**state, "balance": b, "checked": now}

    def step(
        self, sweep: Sweep, state: State, coordinates: Lifted
    ) -> tuple[State, Lifted]:
        """Take one step of every sample; `sweep` moves the hidden variables."""
        if self.accelerated:
            return self._accelerated(sweep, state, coordinates)
        u, duals = state["u"], state["duals"]
        gradient, coordinates = sweep(u, coordinates)
        new, _ = self.primal(u, gradient, duals, 1.0 + state["balance"])
        duals, _ = self.dual(2.0 * new - u, duals, state["balance"])
        return {**state, "u": new, "mean": new, "duals": duals}, coordinates

    def _accelerated(
        self, sweep: Sweep, state: State, coordinates: Lifted
    ) -> tuple[State, Lifted]:
        u, mean, age = state["u"], state["mean"], state["age"] + 1.0
        beta = per_sample(2.0 / (age + 1.0), u)
        middle = mean + beta * (u - mean)
        ahead = u + per_sample((age - 1.0) / age, u) * (u - state["before"])
        duals, _ = self.dual(ahead, state["duals"], state["balance"])
        along = (age - 1.0) / (age + 2.0)
        thrown = {
            key: s + per_sample(along, s) * (s - state["hidden"][key])
            for key, s in coordinates.items()
        }
        gradient, swept = sweep(middle, thrown)
        new, _ = self.primal(u, gradient, duals, 2.0 / age + state["balance"])
        moved = mean + beta * (new - mean)
        turn = dot(middle - moved, moved - mean)
        for key, s in swept.items():
            turn = turn + dot(thrown[key] - s, s - coordinates[key])
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
                key: ops.where(per_sample(again, s), s, coordinates[key])
                for key, s in swept.items()
            },
        }
        return state, swept

    def primal(
        self, u: Tensor, gradient: Tensor, duals: Any, total: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return `u⁺ = prox_{τg}(u − τ(∇f + Σ A_iᵀ p_i))` with `τ = 1/(L total)`.

        And the element `(u − u⁺)/τ − ∇f − Σ A_iᵀ p_i` of `∂g(u⁺)`.
        """
        step = 1.0 / (total * self.lipschitz)
        slope = gradient + self.adjoint(u, duals)
        new = u - per_sample(step, u) * slope
        if self.direct is None:
            return new, ops.zeros_like(u)
        new = self.direct.prox(new, per_sample(step * self.direct.factor, u))
        return new, (u - new) / per_sample(step, u) - slope

    def dual(
        self, u: Tensor, duals: Any, balance: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Return `p_i⁺ = prox_{s h*}(p_i + s A_i u)` with `Σ s ‖A‖² = b L`.

        By the prox of h (Moreau). And the point at which `p_i⁺` is in `∂h_i`.
        """
        new, points = [], []
        for term, p in zip(self.duals, duals, strict=True):
            s = balance * self.lipschitz / (len(self.duals) * term.bound)
            length = per_sample(term.factor / s, p)
            s = per_sample(s, p)
            q = p / s + term.operator(u)
            point = term.prox(q, length)
            new.append(s * (q - point))
            points.append(point)
        return new, points

    def adjoint(self, u: Tensor, duals: Any) -> Tensor:
        """Return `Σ A_iᵀ p_i`, in the shape of u."""
        total = ops.zeros_like(u)
        for term, p in zip(self.duals, duals, strict=True):
            total = total + vector_jacobian(term.operator, u, p)
        return total

    def value(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Return `g(u) + Σ h_i(A_i u)` by `Term.near`, and whether all are finite."""
        total = ops.zeros((u.shape[0],), u.dtype)
        feasible = ops.ones((u.shape[0],), "bool")
        if self.direct is not None:
            total = self.direct.weighted(u)
        for term in self.duals:
            value, outside = term.near(term.operator(u))
            total, feasible = total + value, ops.logical_and(feasible, outside == 0)
        return total, feasible

    def residual(self, gradient: Tensor, u: Tensor, duals: Any) -> Tensor:
        """Return the relative residual of the optimality conditions, `(batch,)`.

        How far a plain step of length 1/L would move u, against `∇f`, and each p,
        against p, and u is outside of constraints, against u; 0 exactly at a saddle
        point. Where those vanish, as without noise, `_STILL` of u and p counts.
        """
        moved, _ = self.primal(u, gradient, duals, ops.ones_like(self.lipschitz))
        size = norm(gradient) + norm(self.adjoint(u, duals))
        length = size / self.lipschitz
        size = ops.maximum(size, _STILL * self.lipschitz * norm(u))
        worst = self.lipschitz * norm(moved - u) / ops.maximum(size, TINY)
        balance = BALANCE * ops.ones_like(self.lipschitz)
        new = self.dual(u, duals, balance)
        for term, p, q, point in zip(self.duals, duals, *new, strict=True):
            s = balance * self.lipschitz / (len(self.duals) * term.bound)
            size = ops.maximum(norm(p) + norm(q), _STILL * s * norm(point))
            worst = ops.maximum(worst, norm(q - p) / ops.maximum(size, TINY))
            image = term.operator(u)
            _, outside = term.near(image)
            size = ops.maximum(norm(image), length * term.bound**0.5)
            worst = ops.maximum(worst, outside / ops.maximum(size, TINY))
        return worst


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Return `⟨a, b⟩` of each sample, `(batch,)`."""
    return sum_per_sample(a * b)


def norm(a: Tensor) -> Tensor:
    """Return `‖a‖₂` of each sample, `(batch,)`."""
    return ops.sqrt(dot(a, a))
