"""Runs the compiled steps, with checks of the host in between."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lifted.inversion.steps import Instance
from keras_lifted.inversion.steps import Steps
from keras_lifted.inversion.steps import choose
from keras_lifted.layers.precision import lifted_real

Tensor = Any
Stats = dict[str, np.ndarray]

# Seconds after which a run shows its progress unasked.
_PATIENCE = 10.0
# Where no proof bounds the objective, a rise by this share of it shortens steps.
_RISE = 0.1


class Solver:
    """Minimises `E(u, X) + alpha · R(u)` for given data.

    Args:
        steps: the compiled steps.
        y: data.
        start: inputs to begin with.
        check_every: steps between checks.
        tolerance: of the relative residual.
        verbose: True, False, or "auto": show progress on long runs.
        factor: on all step lengths, to begin with, `(batch,)`.
    """

    def __init__(
        self,
        steps: Steps,
        y: Tensor,
        start: Tensor,
        check_every: int,
        tolerance: float,
        verbose: bool | str,
        factor: np.ndarray,
    ) -> None:
        self.steps = steps
        self.y = y
        self.values = steps.problem.values()
        self.check_every = check_every
        self.tolerance = tolerance
        self.verbose = verbose
        self.lipschitz, self.rates = steps.lipschitz(self.values, start)
        self.iterations = 0
        self.history: dict[str, list[Any]] = {}
        self._point = steps.start(self.values, start)
        self._lowest = np.full((len(start),), np.inf)
        self._caution = 1.0 / factor

    @property
    def best(self) -> Tensor:
        """The inputs of the least objective at a check."""
        return self._point.best

    def run(self, alpha: np.ndarray, steps: int) -> Stats:
        """Up to `steps` steps from where it is; the figures of `best`.

        Args:
            alpha: factor on the regularizer, `(batch,)`.
            steps: at most so many.
        """
        self._lowest[:] = np.inf
        self.history = {}
        begun, bar, done = time.monotonic(), None, 0
        stats = self._block(alpha, 0)  # no step may end above the start
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
                iterate, carriers = self._point.iterate, self._point.carriers
                self._point = self._point._replace(best=iterate["mean"], kept=carriers)
                stats = now
                break
        self.iterations += done
        return stats

    def _block(self, alpha: np.ndarray, count: int) -> Stats:
        """`count` steps, and the figures after them."""
        caution = lifted_real(self._caution)
        instance = Instance(
            self.values,
            self.y,
            lifted_real(alpha),
            self.lipschitz * caution,
            {key: rate / caution for key, rate in self.rates.items()},
        )
        self._point, found = self.steps.advance(
            instance,
            self._point,
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
        if self.steps.problem.hidden:
            astray |= risen
        if not astray.any():
            return
        self._caution = np.where(astray, 2.0 * self._caution, self._caution)
        _, carriers, best, kept = self._point
        fresh = self.steps.scheme.start(best, kept)
        back = ops.convert_to_tensor(astray)
        self._point = self._point._replace(
            iterate=choose(back, fresh, self._point.iterate),
            carriers=choose(back, kept, carriers),
        )

    def _record(self, done: int, seconds: float, now: Stats) -> None:
        self.history.setdefault("iteration", []).append(done)
        self.history.setdefault("seconds", []).append(seconds)
        for name in ("objective", "residual", "data_residual", "gap"):
            self.history.setdefault(name, []).append(now[name])


def _better(old: Stats, new: Stats) -> Stats:
    """Sample by sample, the figures of the lower objective."""
    lower = new["objective"] <= old["objective"]
    return {name: np.where(lower, new[name], old[name]) for name in new}
