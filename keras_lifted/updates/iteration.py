"""The compiled loop that repeats a step on the lifted variables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import while_loop
from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.problem import Lifted
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.problem import Move
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

    Each round takes one sweep of steps from output to input and reads the
    energy at the point it leaves. If the energy there has risen, the round is
    undone: the next one starts half way back to the best point, without
    momentum. What is returned is always the plain step from the best point.

    Attributes:
        step: the update of one lifted variable.
        steps: the most updates of each lifted variable.
        acceleration: extrapolation between rounds.
        tolerance: stop once the relative change of a round is below it.
    """

    step: Step
    steps: int
    acceleration: Acceleration
    tolerance: float

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """Lifted variables of `problem`, and the weight gradients there."""
        rates = {
            call.key: _rate(problem, curvature, call)
            for call in problem.structure.calls
        }
        kappa = {key: rate / (1.0 + rate) for key, rate in rates.items()}
        forward = problem.forward(self._move(problem, rates), with_weights=False)
        origin = {
            call.key: problem.penalty.origin(
                ProximalMap.of(call.activation), forward.z[call.key]
            )
            for call in problem.structure.calls
        }
        plain = forward.carriers
        residual = _relative_change(origin, plain)
        iterations = ops.ones((), dtype="int32")
        if self.steps > 1:
            iterations, plain, residual = self._loop(
                problem, rates, kappa, origin, forward
            )
        plain = {key: ops.stop_gradient(s) for key, s in plain.items()}
        _, z, gradients = problem.energy(plain)
        return Solution(forward, plain, z, gradients, iterations, residual)

    def _loop(
        self,
        problem: LiftedProblem,
        rates: Lifted,
        kappa: Lifted,
        origin: Lifted,
        forward: Any,
    ) -> tuple[Tensor, Lifted, Tensor]:
        fixed = {
            key: z
            for key, z in forward.z.items()
            if problem.structure.fed_by_inputs(key)
        }
        accelerate = self.acceleration

        def more(k: Tensor, *state: Any) -> Tensor:
            return ops.logical_and(k < self.steps, state[-1] > self.tolerance)

        def body(
            k: Tensor,
            s: Lifted,
            memory: Any,
            best: Lifted,
            plain: Lifted,
            lowest: Tensor,
            residual: Tensor,
        ) -> tuple[Any, ...]:
            metric = accelerate.metric(memory)
            move = self._move(problem, rates, metric)
            energy, moved, _ = problem.descend(s, fixed, move)
            good = energy <= lowest + ROUNDING * ops.absolute(lowest)
            ahead, remembered = accelerate.extrapolate(memory, s, moved, kappa)
            back = {key: 0.5 * (s[key] + best[key]) for key in s}
            return (
                k + 1,
                _choose(good, ahead, back),
                _choose(good, remembered, accelerate.start(back)),
                _choose(good, s, best),
                _choose(good, moved, plain),
                ops.where(good, energy, lowest),
                ops.where(good, _relative_change(s, moved), residual),
            )

        plain = forward.carriers
        s, memory = accelerate.extrapolate(
            accelerate.start(origin), origin, plain, kappa
        )
        state = (
            ops.ones((), dtype="int32"),
            s,
            memory,
            origin,
            plain,
            forward.loss * problem.loss_scale,
            _relative_change(origin, plain),
        )
        state = while_loop(more, body, state)
        return state[0], state[4], state[6]

    def _move(
        self, problem: LiftedProblem, rates: Lifted, metric: Lifted | None = None
    ) -> Move:
        def move(
            call: Call, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor
        ) -> tuple[Tensor, Tensor]:
            rate = rates[call.key]
            if metric is not None and getattr(call.activation, "separable", True):
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
