"""The compiled loop that repeats a step on the lifted variables."""

import abc
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from keras import ops, tree

from keras_lifted.backend import while_loop
from keras_lifted.checks import check_choice, check_count, check_number
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.energy import energy_at, z_terms_of
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.rule import Move
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.stacked import Rounds
from keras_lifted.lifting.swept import Lifted, Swept
from keras_lifted.penalties.base import Penalty
from keras_lifted.updates.acceleration import Acceleration
from keras_lifted.updates.base import LiftedUpdate, Solution
from keras_lifted.updates.order import (
    JACOBI,
    ORDERS,
    OUTPUT_TO_INPUT,
    groups,
    shortening,
)

Tensor = Any
# body(round, coordinates, residual, *rest) -> the same after one more round
Body = Callable[..., tuple[Any, ...]]

# Longer steps than this many times a block's own curvature change nothing.
LONGEST = 100.0
# An energy may rise by rounding alone.
ROUNDING = 1e-6


class Iteration(LiftedUpdate):
    """Repeats `step` until `steps` or `tolerance`.

    It starts from the stored lifted variables of the problem, or else from the
    forward pass. Each round takes one step of every block. Without acceleration
    the step lengths alone keep the energy from rising. With it a round reads the
    energy at the point it leaves; if that has risen the round is undone, and the
    next starts half way back to the best point, without momentum. What is
    returned is the plain step from the best point. From stored lifted variables,
    or in another order, all is undone if the energy has risen at the end.
    """

    def __init__(
        self,
        steps: int,
        tolerance: float,
        order: str,
        acceleration: Acceleration | None = None,
    ) -> None:
        self.steps = check_count(
            "steps", steps, "updates of each lifted variable per batch"
        )
        self.tolerance = check_number(
            "tolerance",
            tolerance,
            lambda number: number >= 0,
            ">= 0 (relative change at which to stop; 0: never early)",
        )
        self.order = check_choice("order", order, ORDERS)
        self._acceleration = acceleration

    @abc.abstractmethod
    def step(self, penalty: Penalty, sigma: ProximalMap, *at: Tensor) -> Tensor:
        """Return the new coordinate of one lifted variable; `at` is `s, z, q, rate`."""

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        factor = shortening(self.order, problem.structure)
        rates = {}
        for call in problem.structure.calls:
            weight = problem.weights[call.index]
            bound = ops.maximum(curvature[call.index], weight / LONGEST)
            rates[call.key] = weight / bound / factor
        move = self._move(problem, rates)
        one, unknown = ops.ones((), dtype="int32"), ops.ones((), real_dtype())
        stored = problem.stored
        # Is the last round also the one that takes the weight gradients?
        merged = stored is None and self.order == OUTPUT_TO_INPUT
        if merged and self.steps == 1:
            only = problem.sweep(move, with_weights=True)
            return Solution.of(problem, only, only, one)
        if stored is None:
            first = forward = self._round(problem, move)
            origin = problem.origin(forward.z)
            # The penalties are zero here.
            start = ops.sum(first.loss) + z_terms_of(problem, first)
        else:
            forward = problem.forward()
            origin = stored.over(forward.coordinates)
            first = self._round(problem, move, origin)
            start = energy_at(problem, first, origin)
        state: tuple[Any, ...] = (one, first.coordinates, unknown)
        rounds = self.steps - (2 if merged else 1)
        if rounds > 0:
            fixed = problem.structure.fed_by_inputs(forward.z)
            if self._acceleration:
                begin = first.coordinates, origin, start
                body, rest = self._accelerated(problem, rates, fixed, *begin)
            else:
                body, rest = self._plain(problem, move, fixed), ()
            state = self._repeat(body, (*state, *rest), rounds)
        iterations, coordinates, residual, *_ = state
        coordinates = {key: ops.stop_gradient(s) for key, s in coordinates.items()}
        if merged:
            last = problem.sweep(move, coordinates, with_weights=True)
            left = energy_at(problem, last, coordinates)
            return Solution(forward, last, start, left, iterations + 1, residual)
        hold = functools.partial(problem.sweep, _hold(problem), rounds=Rounds())
        tried = energy_at(problem, hold(coordinates), coordinates)
        good = tried <= start + ROUNDING * ops.absolute(start)
        last = hold(_choose(good, coordinates, origin), with_weights=True)
        return Solution(forward, last, start, tried, iterations, residual)

    def _repeat(
        self, body: Body, begin: tuple[Any, ...], rounds: int
    ) -> tuple[Any, ...]:
        if rounds == 1 and not self._acceleration:  # it needs no loop
            return body(*begin)

        def more(k: Tensor, s: Lifted, residual: Tensor, *rest: Any) -> Tensor:
            few = k <= rounds
            if not self.tolerance:
                return few
            return ops.logical_and(few, residual > self.tolerance)

        return while_loop(more, body, begin)

    def _plain(self, problem: LiftedProblem, move: Move, fixed: Lifted) -> Body:
        def body(k: Tensor, s: Lifted, residual: Tensor) -> tuple[Any, ...]:
            moved = self._round(problem, move, s, fixed).coordinates
            return k + 1, moved, self._residual(s, moved, residual)

        return body

    def _accelerated(
        self,
        problem: LiftedProblem,
        rates: Lifted,
        fixed: Lifted,
        first: Lifted,
        origin: Lifted,
        energy: Tensor,
    ) -> tuple[Body, tuple[Any, ...]]:
        """Return the body, and where its further state begins."""
        accelerate = self._acceleration
        assert accelerate is not None
        roots = {key: ops.sqrt(rate / (1.0 + rate)) for key, rate in rates.items()}
        beta = {key: (1.0 - root) / (1.0 + root) for key, root in roots.items()}

        def body(
            k: Tensor,
            plain: Lifted,
            residual: Tensor,
            s: Lifted,
            memory: Any,
            best: Lifted,
            lowest: Tensor,
        ) -> tuple[Any, ...]:
            move = self._move(problem, rates, accelerate.metric(memory))
            swept = self._round(problem, move, s, fixed)
            moved, energy = swept.coordinates, energy_at(problem, swept, s)
            good = energy <= lowest + ROUNDING * ops.absolute(lowest)
            ahead, remembered = accelerate.extrapolate(memory, s, moved, beta)
            back = {key: 0.5 * (s[key] + best[key]) for key in s}
            return (
                k + 1,
                _choose(good, moved, plain),
                ops.where(good, self._residual(s, moved, residual), residual),
                _choose(good, ahead, back),
                _choose(good, remembered, accelerate.start(back)),
                _choose(good, s, best),
                ops.where(good, energy, lowest),
            )

        s, memory = accelerate.extrapolate(
            accelerate.start(origin), origin, first, beta
        )
        return body, (s, memory, origin, energy)

    def _round(
        self,
        problem: LiftedProblem,
        move: Move,
        s: Lifted | None = None,
        fixed: Lifted | None = None,
    ) -> Swept:
        """Take one step of every block; the rest of the result is of where it began."""
        rounds = Rounds() if self.order == JACOBI else None
        first = None
        for keys in groups(self.order, problem.structure):
            turn = move
            if self.order != OUTPUT_TO_INPUT:
                turn = _only(problem, move, keys, self.order == JACOBI)
            swept = problem.sweep(turn, s, fixed, rounds=rounds)
            s = swept.coordinates
            first = first or swept
        assert first is not None and s is not None
        return dataclasses.replace(first, coordinates=s)

    def _residual(self, before: Lifted, after: Lifted, last: Tensor) -> Tensor:
        """Return the relative change, measured only where something waits for it."""
        if not self.tolerance:
            return last
        change: Any = sum(ops.sum(ops.square(after[k] - before[k])) for k in after)
        size: Any = sum(ops.sum(ops.square(after[k])) for k in after)
        return ops.sqrt(change / (size + 1e-30))

    def _move(
        self, problem: LiftedProblem, rates: Lifted, metric: Lifted | None = None
    ) -> Move:
        def move(call: Call, sigma: ProximalMap, *at: Tensor) -> tuple[Tensor, Tensor]:
            rate = rates[call.key]
            single = call.activation.separable and call.chain is None
            if metric is not None and single:
                rate = rate / metric[call.key]
            new = self.step(problem.penalty, sigma, *at, rate)
            return new, problem.penalty.origin(sigma, at[1]) - new

        return move


def _hold(problem: LiftedProblem) -> Move:
    """Move nothing; pass on the gradient of where everything is."""

    def hold(
        call: Call, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor
    ) -> tuple[Tensor, Tensor]:
        return s, problem.penalty.origin(sigma, z) - s

    return hold


def _only(problem: LiftedProblem, move: Move, keys: set[str], old: bool) -> Move:
    """Return `move` for `keys` alone, which passes on the old or the new gradient."""
    hold = _hold(problem)

    def moved(call: Call, sigma: ProximalMap, *at: Tensor) -> tuple[Tensor, Tensor]:
        kept = hold(call, sigma, *at)
        if call.key not in keys:
            return kept
        new, displacement = move(call, sigma, *at)
        return new, kept[1] if old else displacement

    return moved


def _choose(good: Tensor, yes: Any, no: Any) -> Any:
    return tree.map_structure(lambda a, b: ops.where(good, a, b), yes, no)
