"""Runs the compiled steps, with checks of the host in between."""

import time
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lifted.inversion.fidelity import Data
from keras_lifted.inversion.steps import Instance, Steps, choose
from keras_lifted.lifting.swept import Lifted

Tensor = Any
Stats = dict[str, np.ndarray]

# Seconds after which a run shows its progress.
_PATIENCE = 10.0
# Where no proof bounds the objective, a rise by this share of it, and by this share of
# where it started, shortens steps.
_RISE, _RISE_OF_FIRST = 0.1, 1e-5
# Steps before the first check: it balances the steps of duals and inputs, and sees
# steps that are too long, where no theory bounds them.
_FIRST, _FIRST_BOUNDED = 1, 10


class Solver:
    """Minimises `E(u, X) + alpha · R(u)` for given data.

    A sample whose relative residual reaches the tolerance, at an objective that is the
    least so far, is settled: its result does not change any more.

    `bounds` are those of `steps.lipschitz`; `factor`, `(batch,)`, is on all steps.

    Attributes:
        iterations: the steps taken so far, in all runs.
        path: the "alpha" and the "data_residual" of every run.
        history: the figures at every check of the last run.
    """

    def __init__(
        self,
        steps: Steps,
        data: Data,
        start: Tensor,
        bounds: tuple[Tensor, Lifted],
        check_every: int,
        tolerance: float,
        verbose: int,
        factor: np.ndarray,
    ) -> None:
        self.steps = steps
        self.data = data
        self.check_every = check_every
        self.tolerance = tolerance
        self.verbose = verbose
        self.bound, self.rates = bounds
        self.iterations = 0
        self.path: dict[str, list[np.ndarray]] = {"alpha": [], "data_residual": []}
        self.history: dict[str, list[Any]] = {}
        self._caution = 1.0 / factor
        self._lowest = np.full((len(start),), np.inf)
        self._first = self._lowest
        self._point = steps.start(self._instance(np.ones(len(start))), start)

    @property
    def best(self) -> Tensor:
        """The inputs of the least objective at a check."""
        return self._point.best

    @property
    def slope(self) -> np.ndarray:
        """`‖W‖`, weighted as the fidelity is: how noise of size 1 pulls at inputs."""
        curvature = self.steps.problem.fidelity.curvature(*self.data)
        slope: np.ndarray = ops.convert_to_numpy(ops.sqrt(curvature * self.bound))
        return slope.astype("float64")

    def run(self, alpha: np.ndarray, steps: int) -> Stats:
        """Take up to `steps` steps from where it is; return the figures of `best`."""
        self._lowest = np.full_like(alpha, np.inf)
        self._first = np.zeros_like(alpha)
        self.history = {}
        begun, bar, done = time.monotonic(), None, 0
        settled = np.zeros(len(alpha), bool)
        stats, _ = self._block(alpha, 0, settled)  # no step may end above the start
        self._first = np.nan_to_num(stats["objective"], posinf=0.0)
        below = _below(stats)
        first = _FIRST_BOUNDED if self.steps.problem.affine else _FIRST
        while done < steps and not settled.all():
            count = min(self.check_every, first + done, steps - done)
            done += count
            now, kept = self._block(alpha, count, settled)
            below = np.fmax(below, _below(now))
            stats = {k: np.where(kept, now[k], stats[k]) for k in stats}
            good = np.isfinite(now["objective"]) & (now["residual"] <= self.tolerance)
            settled |= kept & good
            seconds = time.monotonic() - begun
            row = {"iteration": done, "seconds": seconds, **now}
            for name, value in row.items():
                self.history.setdefault(name, []).append(value)
            if self.verbose == 2 or (self.verbose and seconds > _PATIENCE):
                shown = {
                    "objective": float(now["objective"].mean()),
                    "residual": float(now["residual"].max()),
                }
                bar = bar or keras.utils.Progbar(
                    steps, verbose=self.verbose, stateful_metrics=list(shown)
                )
                last = bool(settled.all()) or done == steps
                bar.update(done, shown.items(), finalize=last or self.verbose == 2)
        self.iterations += done
        known = np.fmin(stats["certificate"], stats["objective"] - below)
        stats["certificate"] = np.maximum(known, 0.0)
        self.path["alpha"].append(alpha)
        self.path["data_residual"].append(stats["data_residual"])
        return {**stats, "converged": settled}

    def _instance(self, alpha: np.ndarray) -> Instance:
        def real(value: Any) -> Tensor:
            return ops.cast(value, self.steps.problem.dtype)

        caution = real(self._caution)
        careful = caution
        if self.steps.problem.hidden:
            curvature = self.steps.problem.fidelity.curvature(*self.data)
            careful = caution * ops.maximum(curvature, 1.0)
        return Instance(
            [v.value for v in self.steps.variables],
            self.data,
            real(alpha),
            self.bound * caution,
            {key: rate / careful for key, rate in self.rates.items()},
        )

    def _block(
        self, alpha: np.ndarray, count: int, settled: np.ndarray
    ) -> tuple[Stats, np.ndarray]:
        """Take `count` steps; return the figures, and which samples are kept."""
        dtype = self.steps.problem.dtype
        rounding = 100.0 * np.finfo(dtype).eps
        slack = rounding * (np.abs(self._lowest) + 1e-2 * np.abs(self._first))
        most = np.where(settled, -np.inf, self._lowest + np.nan_to_num(slack, posinf=0))
        self._point, found = self.steps.advance(
            self._instance(alpha),
            self._point,
            ops.cast(most, dtype),
            ops.convert_to_tensor(count, dtype="int32"),
        )
        now = {k: ops.convert_to_numpy(v).astype("float64") for k, v in found.items()}
        kept, feasible = now.pop("kept") > 0, now.pop("feasible") > 0
        self._guard(now)
        least = np.where(feasible, now["objective"], np.inf)
        self._lowest = np.fmin(self._lowest, least)
        return now, kept

    def _guard(self, now: Stats) -> None:
        """Send samples that went astray back to the best point, more careful."""
        astray = ~np.isfinite(now["residual"])
        if not self.steps.problem.affine and self.steps.valued:
            above = now["objective"] - self._lowest
            most = _RISE * np.abs(self._lowest) + _RISE_OF_FIRST * np.abs(self._first)
            astray |= above > most
        if not astray.any():
            return
        self._caution = np.where(astray, 2.0 * self._caution, self._caution)
        _, coordinates, best, kept = self._point
        ones = np.ones(len(astray))
        fresh = self.steps.start(self._instance(ones), best)
        back = ops.convert_to_tensor(astray)
        iterate = {**fresh.iterate, "hidden": kept}
        self._point = self._point._replace(
            iterate=choose(back, iterate, self._point.iterate),
            coordinates=choose(back, kept, coordinates),
        )


def _below(stats: Stats) -> np.ndarray:
    """Return a lower bound of the minimum, `(batch,)`; NaN where there is none."""
    objective = np.where(np.isfinite(stats["objective"]), stats["objective"], np.nan)
    return np.asarray(objective - stats["certificate"])
