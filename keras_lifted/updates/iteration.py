"""The compiled loop that repeats a step on the lifted variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import while_loop
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.problem import Lifted
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.problem import Move
from keras_lifted.lifting.problem import Swept
from keras_lifted.lifting.scope import Call
from keras_lifted.updates.acceleration import Acceleration
from keras_lifted.updates.base import Solution

Tensor = Any
# step(sigma, s, z, q, rate) -> the new carrier
Step = Callable[[ProximalMap, Tensor, Tensor, Tensor, Tensor], Tensor]

# Longer steps than this many times a block's own curvature change nothing.
LONGEST = 100.0
# An energy may rise by rounding alone.
ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Iteration:
    """Repeats `step` from the forward pass until `steps` or `tolerance`.

    Each round takes one sweep of steps from output to input. Without
    acceleration the step lengths alone keep the energy from rising. With it
    a round reads the energy at the point it leaves; if that has risen the
    round is undone, and the next starts half way back to the best point,
    without momentum. What is returned is the plain step from the best point.

    Attributes:
        step: the update of one lifted variable.
        steps: the most updates of each lifted variable.
        acceleration: extrapolation between rounds, or None.
        tolerance: stop once the relative change of a round is below it.
    """

    step: Step
    steps: int
    acceleration: Acceleration | None
    tolerance: float

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """Lifted variables of `problem`, and the weight gradients there."""
        rates = {
            call.key: _rate(problem, curvature, call)
            for call in problem.structure.calls
        }
        move = self._move(problem, rates)
        one = ops.ones((), dtype="int32")
        if self.steps == 1:
            forward = problem.sweep(move, with_weights=True)
            return Solution.of(problem, forward, forward, one)
        forward = problem.sweep(move)
        state = (one, forward.carriers, ops.ones((), real_dtype()))
        if self.steps > 2:
            loop = self._accelerated if self.acceleration else self._plain
            state = loop(problem, rates, forward)
        iterations, carriers, residual = state
        carriers = {key: ops.stop_gradient(s) for key, s in carriers.items()}
        last = problem.sweep(move, carriers, with_weights=True)
        return Solution.of(problem, forward, last, iterations + 1, residual, carriers)

    def _plain(
        self, problem: LiftedProblem, rates: Lifted, forward: Swept
    ) -> tuple[Tensor, Lifted, Tensor]:
        move = self._move(problem, rates)
        fixed = problem.fed_by_inputs(forward)

        def more(k: Tensor, s: Lifted, residual: Tensor) -> Tensor:
            return self._goes_on(k, residual)

        def body(k: Tensor, s: Lifted, residual: Tensor) -> tuple[Any, ...]:
            moved = problem.sweep(move, s, fixed).carriers
            return k + 1, moved, self._residual(s, moved, residual)

        begin = (
            ops.ones((), dtype="int32"),
            forward.carriers,
            ops.ones((), real_dtype()),
        )
        if self.steps == 3:  # one round needs no loop
            return body(*begin)
        return while_loop(more, body, begin)

    def _accelerated(
        self, problem: LiftedProblem, rates: Lifted, forward: Swept
    ) -> tuple[Tensor, Lifted, Tensor]:
        accelerate = self.acceleration
        assert accelerate is not None
        fixed = problem.fed_by_inputs(forward)
        kappa = {key: rate / (1.0 + rate) for key, rate in rates.items()}

        def more(k: Tensor, *state: Any) -> Tensor:
            return self._goes_on(k, state[-1])

        def body(
            k: Tensor,
            s: Lifted,
            memory: Any,
            best: Lifted,
            plain: Lifted,
            lowest: Tensor,
            residual: Tensor,
        ) -> tuple[Any, ...]:
            move = self._move(problem, rates, accelerate.metric(memory))
            swept = problem.sweep(move, s, fixed, with_energy=True)
            moved = swept.carriers
            good = swept.energy <= lowest + ROUNDING * ops.absolute(lowest)
            ahead, remembered = accelerate.extrapolate(memory, s, moved, kappa)
            back = {key: 0.5 * (s[key] + best[key]) for key in s}
            return (
                k + 1,
                _choose(good, ahead, back),
                _choose(good, remembered, accelerate.start(back)),
                _choose(good, s, best),
                _choose(good, moved, plain),
                ops.where(good, swept.energy, lowest),
                ops.where(good, self._residual(s, moved, residual), residual),
            )

        origin = problem.origin(forward)
        plain = forward.carriers
        s, memory = accelerate.extrapolate(
            accelerate.start(origin), origin, plain, kappa
        )
        one = ops.ones((), dtype="int32")
        begin = (
            one,
            s,
            memory,
            origin,
            plain,
            forward.loss + problem.rest_of(forward.z, shown=False),
            ops.ones((), real_dtype()),
        )
        end = while_loop(more, body, begin)
        return end[0], end[4], end[6]

    def _goes_on(self, k: Tensor, residual: Tensor) -> Tensor:
        few = k < self.steps - 1  # the last one also takes the weight gradients
        if not self.tolerance:
            return few
        return ops.logical_and(few, residual > self.tolerance)

    def _residual(self, before: Lifted, after: Lifted, last: Tensor) -> Tensor:
        """Relative change, measured only where something waits for it."""
        return _relative_change(before, after) if self.tolerance else last

    def _move(
        self, problem: LiftedProblem, rates: Lifted, metric: Lifted | None = None
    ) -> Move:
        def move(
            call: Call, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor
        ) -> tuple[Tensor, Tensor]:
            rate = rates[call.key]
            if metric is not None and call.activation.separable:
                rate = rate / metric[call.key]
            new = self.step(sigma, s, z, q, rate)
            return new, problem.penalty.origin(sigma, z) - new

        return move


def _rate(problem: LiftedProblem, curvature: Tensor, call: Call) -> Tensor:
    weight = problem.weights[call.index]
    return weight / ops.maximum(curvature[call.index], weight / LONGEST)


def _choose(good: Tensor, yes: Any, no: Any) -> Any:
    if isinstance(yes, dict):
        return {key: _choose(good, yes[key], no[key]) for key in yes}
    if isinstance(yes, tuple):
        return tuple(_choose(good, a, b) for a, b in zip(yes, no, strict=True))
    return ops.where(good, yes, no)


def _relative_change(before: Lifted, after: Lifted) -> Tensor:
    change: Any = sum(ops.sum(ops.square(after[k] - before[k])) for k in after)
    size: Any = sum(ops.sum(ops.square(after[k])) for k in after)
    return ops.sqrt(change / (size + 1e-30))
