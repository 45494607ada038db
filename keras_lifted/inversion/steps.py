"""Primal-dual steps of an inverse problem, compiled once for every shape of batch."""

from __future__ import annotations

from typing import Any
from typing import NamedTuple

import keras
from keras import ops

from keras_lifted.backend import compiled
from keras_lifted.backend import while_loop
from keras_lifted.inversion.primal_dual import PrimalDual
from keras_lifted.inversion.primal_dual import State
from keras_lifted.inversion.primal_dual import norm
from keras_lifted.inversion.problem import InverseProblem
from keras_lifted.inversion.problem import Values
from keras_lifted.layers.gradients import per_sample
from keras_lifted.lifting.swept import Lifted
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


class Instance(NamedTuple):
    """The numbers of a problem: other ones need no other code.

    Attributes:
        values: of the network's variables.
        y: data.
        alpha: factor on the regularizer, `(batch,)`.
        lipschitz: Lipschitz constant of the gradient in the input, `(batch,)`.
        rates: step lengths of the hidden variables, `(batch,)` each.
    """

    values: Values
    y: Tensor
    alpha: Tensor
    lipschitz: Tensor
    rates: Lifted


class Point(NamedTuple):
    """Where the steps are, and the best of what was checked.

    Attributes:
        iterate: the state of the primal-dual scheme.
        carriers: of the hidden lifted variables.
        best: the inputs of the least objective at a check.
        kept: the carriers that belong to them.
    """

    iterate: State
    carriers: Lifted
    best: Tensor
    kept: Lifted


class Steps:
    """Steps that minimise `E(u, X) + alpha · R(u)`, and what they have reached.

    Args:
        problem: the energy.
        regularizer: R.
        accelerated: see `PrimalDual`.
        xla: whether to compile with XLA.

    Attributes:
        advance: `(instance, point, lowest, count) -> (point, figures)`: `count` steps
            from `point`; `lowest` is the least objective so far, `(batch,)`.
        lipschitz: `(values, u) -> (lipschitz, rates)` of an instance.
    """

    def __init__(
        self,
        problem: InverseProblem,
        regularizer: Regularizer,
        accelerated: bool,
        xla: bool,
    ) -> None:
        self.problem = problem
        self.regularizer = regularizer
        self.scheme = PrimalDual.of(regularizer, accelerated)
        self.advance = compiled(self._advance, xla)
        self.lipschitz = compiled(problem.lipschitz, xla)

    def start(self, values: Values, u: Tensor) -> Point:
        """The point before the first step: a forward pass from `u`."""
        carriers = self.problem.origin(values, u)
        return Point(self.scheme.start(u, carriers), carriers, u, carriers)

    def _advance(
        self, instance: Instance, point: Point, lowest: Tensor, count: Tensor
    ) -> tuple[Point, dict[str, Tensor]]:
        values, y, alpha, lipschitz, rates = instance

        def sweep(u: Tensor, carriers: Lifted) -> tuple[Tensor, Lifted]:
            return self.problem.sweep(values, y, u, carriers, rates)

        def body(i: Tensor, iterate: State, carriers: Lifted) -> tuple[Any, ...]:
            step = self.scheme.step(sweep, iterate, carriers, alpha, lipschitz)
            return i + 1, *step

        iterate = self.scheme.balanced(point.iterate, alpha, lipschitz)
        begin = (ops.zeros((), "int32"), iterate, point.carriers)
        _, iterate, carriers = while_loop(lambda i, *_: i < count, body, begin)
        found = self._measure(instance, iterate, carriers)
        lower = found["objective"] <= lowest
        best = choose(lower, iterate["mean"], point.best)
        kept = choose(lower, carriers, point.kept)
        return Point(iterate, carriers, best, kept), found

    def _measure(
        self, instance: Instance, iterate: State, carriers: Lifted
    ) -> dict[str, Tensor]:
        """Figures at the mean iterate, `(batch,)` each."""
        problem, u = self.problem, iterate["mean"]
        values, y, alpha, lipschitz, rates = instance
        fidelity, gaps = problem.energies(values, y, u, carriers)
        gradient, moved = problem.sweep(values, y, u, carriers, rates, hold=True)
        objective = fidelity + alpha * self.regularizer(u)
        gap = ops.zeros_like(fidelity)
        residual = self.scheme.residual(gradient, u, iterate["duals"], alpha, lipschitz)
        for call in problem.hidden:
            key, sigma = call.key, problem.map_of(call)
            objective = objective + problem.weight(call) * gaps[key]
            gap = ops.maximum(gap, gaps[key])
            old = problem.penalty.point(sigma, carriers[key])
            new = problem.penalty.point(sigma, moved[key])
            residual = ops.maximum(residual, _change(old, new, rates[key]))
        error = problem.outputs(values, u) - y
        return {
            "objective": objective,
            "fidelity": fidelity,
            "residual": residual,
            "data_residual": norm(error),
            "gap": gap,
        }


def _change(old: Tensor, new: Tensor, rate: Tensor) -> Tensor:
    """Relative change per unit of step, `(batch,)`."""
    moved = norm(new - old)
    change = moved / ops.maximum(norm(new), 1e-30) * (1.0 + rate) / rate
    return ops.where(moved == 0, 0.0, change)


def choose(flags: Tensor, yes: Any, no: Any) -> Any:
    """Sample by sample, `yes` or `no`: structures of tensors."""
    return keras.tree.map_structure(
        lambda a, b: ops.where(per_sample(flags, a), a, b), yes, no
    )
