"""Runs primal-dual steps, compiled once, with checks of the host in between."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lifted.backend import compiled
from keras_lifted.backend import while_loop
from keras_lifted.inversion.primal_dual import PrimalDual
from keras_lifted.inversion.primal_dual import State
from keras_lifted.inversion.primal_dual import norm
from keras_lifted.inversion.problem import InverseProblem
from keras_lifted.inversion.problem import Values
from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.swept import Lifted
from keras_lifted.regularizers.base import Regularizer

Tensor = Any
Stats = dict[str, np.ndarray]

# Seconds after which a run shows its progress unasked.
_PATIENCE = 10.0
# Where no proof bounds the objective, a rise by this share of it shortens steps.
_RISE = 0.1


class Solver:
    """Minimises `E(u, X) + alpha · R(u)` for given data.

    Args:
        problem: the energy.
        regularizer: R.
        y: data.
        start: inputs to begin with.
        accelerated: see `PrimalDual`.
        check_every: steps between checks.
        tolerance: of the relative residual.
        xla: whether the steps are compiled with XLA.
        verbose: True, False, or "auto": show progress on long runs.
    """

    def __init__(
        self,
        problem: InverseProblem,
        regularizer: Regularizer,
        y: Tensor,
        start: Tensor,
        accelerated: bool,
        check_every: int,
        tolerance: float,
        xla: bool,
        verbose: bool | str,
    ) -> None:
        self.problem = problem
        self.regularizer = regularizer
        self.scheme = PrimalDual.of(regularizer, accelerated)
        self.y = y
        self.values = problem.values()
        self.check_every = check_every
        self.tolerance = tolerance
        self.verbose = verbose
        self.lipschitz, self.rates = problem.lipschitz(self.values, start)
        self._advance = compiled(self._advance_by, xla)
        self.iterations = 0
        self.history: dict[str, list[Any]] = {}
        self.begin(start)

    def begin(self, u: Tensor) -> None:
        """Forget everything, and start from `u`."""
        carriers = self.problem.origin(self.values, u)
        self._state = (self.scheme.start(u, carriers), carriers, u, carriers)
        self._lowest = np.full((u.shape[0],), np.inf)
        self._caution = np.ones((u.shape[0],))

    @property
    def best(self) -> Tensor:
        """The inputs of the least objective at a check."""
        return self._state[2]

    def run(self, alpha: np.ndarray, steps: int) -> Stats:
        """Up to `steps` steps from where it is; the figures of `best`.

        Args:
            alpha: factor on the regularizer, `(batch,)`.
            steps: at most so many.
        """
        alpha = lifted_real(alpha)
        self._lowest[:] = np.inf
        self.history = {}
        stats: Stats = {}
        begun, bar, done = time.monotonic(), None, 0
        while done < steps:
            count = min(self.check_every, steps - done)
            done += count
            now = self._block(alpha, count)
            stats = _better(stats, now)
            self._record(done, time.monotonic() - begun, now)
            worst = float(now["residual"].max())
            slow = time.monotonic() - begun > _PATIENCE
            if self.verbose is True or (self.verbose == "auto" and slow):
                bar = bar or keras.utils.Progbar(
                    steps, stateful_metrics=["objective", "residual"]
                )
                objective = float(now["objective"].mean())
                shown = [("objective", objective), ("residual", worst)]
                bar.update(done, shown, finalize=worst <= self.tolerance or None)
            if worst <= self.tolerance:
                iterate, carriers = self._state[:2]
                self._state = (iterate, carriers, iterate["mean"], carriers)
                stats = now
                break
        self.iterations += done
        return stats

    def _block(self, alpha: Tensor, count: int) -> Stats:
        """`count` steps, and the figures after them."""
        caution = lifted_real(self._caution)
        before = self._state
        self._state, found = self._advance(
            self.values,
            self.y,
            alpha,
            self.lipschitz * caution,
            {key: rate / caution for key, rate in self.rates.items()},
            before,
            lifted_real(self._lowest),
            ops.convert_to_tensor(count, dtype="int32"),
        )
        now = {k: ops.convert_to_numpy(v).astype("float64") for k, v in found.items()}
        self._guard(now)
        self._lowest = np.fmin(self._lowest, now["objective"])
        return now

    def _guard(self, now: Stats) -> None:
        """Send samples that went astray back to the best point, more careful."""
        risen = now["objective"] > (1.0 + _RISE) * self._lowest
        astray = ~np.isfinite(now["fidelity"])
        if self.problem.hidden:
            astray |= risen
        if not astray.any():
            return
        self._caution = np.where(astray, 2.0 * self._caution, self._caution)
        _, carriers, best, kept = self._state
        fresh = self.scheme.start(best, kept)
        back = ops.convert_to_tensor(astray)
        chosen = _choose(back, fresh, self._state[0])
        self._state = (chosen, _choose(back, kept, carriers), best, kept)

    def _record(self, done: int, seconds: float, now: Stats) -> None:
        self.history.setdefault("iteration", []).append(done)
        self.history.setdefault("seconds", []).append(seconds)
        for name in ("objective", "residual", "data_residual", "gap"):
            self.history.setdefault(name, []).append(now[name])

    # -- compiled ---------------------------------------------------------------

    def _advance_by(
        self,
        values: Values,
        y: Tensor,
        alpha: Tensor,
        lipschitz: Tensor,
        rates: Lifted,
        state: Any,
        lowest: Tensor,
        count: Tensor,
    ) -> tuple[Any, dict[str, Tensor]]:
        iterate, carriers, best, kept = state

        def sweep(u: Tensor, carriers: Lifted) -> tuple[Tensor, Lifted]:
            return self.problem.sweep(values, y, u, carriers, rates)

        def body(i: Tensor, iterate: State, carriers: Lifted) -> tuple[Any, ...]:
            step = self.scheme.step(sweep, iterate, carriers, alpha, lipschitz)
            return i + 1, *step

        begin = (ops.zeros((), "int32"), iterate, carriers)
        _, iterate, carriers = while_loop(lambda i, *_: i < count, body, begin)
        found = self._measure(values, y, alpha, lipschitz, rates, iterate, carriers)
        lower = found["objective"] <= lowest
        best = _choose(lower, iterate["mean"], best)
        kept = _choose(lower, carriers, kept)
        return (iterate, carriers, best, kept), found

    def _measure(
        self,
        values: Values,
        y: Tensor,
        alpha: Tensor,
        lipschitz: Tensor,
        rates: Lifted,
        iterate: State,
        carriers: Lifted,
    ) -> dict[str, Tensor]:
        """Figures at the mean iterate, `(batch,)` each."""
        problem, u = self.problem, iterate["mean"]
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


def _choose(flags: Tensor, yes: Any, no: Any) -> Any:
    """Sample by sample, `yes` or `no`: structures of tensors."""
    return keras.tree.map_structure(
        lambda a, b: ops.where(per_sample(flags, a), a, b), yes, no
    )


def _better(old: Stats, new: Stats) -> Stats:
    """Sample by sample, the figures of the lower objective."""
    if not old:
        return new
    lower = new["objective"] <= old["objective"]
    return {name: np.where(lower, new[name], old[name]) for name in new}
