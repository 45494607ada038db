"""Measures first steps and steps in processor time."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np
from keras import tree

from benchmarks.store import device

# Steps of a round, whole refreshes of all methods; those before are left out.
STEPS, WARM_UP = 20, 5
# The fewest rounds and the most, and seconds after which no further one begins.
ROUNDS, BUDGET = (2, 15), 30.0


def now() -> float:
    """Return seconds of this process on a CPU, of the wall clock elsewhere."""
    return time.process_time() if device() == "cpu" else time.perf_counter()


class Stopwatch(keras.callbacks.Callback):
    """Seconds of `fit`, from a training step to the end of the last epoch."""

    def __init__(self, skip: int = 0) -> None:
        super().__init__()
        self.skip = skip
        self.seconds = 0.0
        self._start: float | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._start is None and batch == self.skip:
            self._start = now()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._start is not None:
            self.seconds = now() - self._start


def steps(model: keras.Model, x: Any, y: Any, batch_size: int, count: int) -> float:
    """Return seconds of so many steps, compilation included."""
    x, y = tree.map_structure(lambda each: each[: count * batch_size], (x, y))
    start = now()
    model.fit(x, y, batch_size=batch_size, verbose=0)
    return now() - start


def round_of_steps(model: keras.Model, x: Any, y: Any, batch_size: int) -> float:
    """Return seconds a step over a round."""
    watch = Stopwatch(WARM_UP)
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[watch])
    return watch.seconds / STEPS


def in_turn(models: list[keras.Model], x: Any, y: Any, batch_size: int) -> np.ndarray:
    """Return seconds a step, `(rounds, models)`, of models that train in turn.

    Args:
        models: list. Compiled models that have taken their first step.
        x: array. Inputs of `WARM_UP + STEPS` batches.
        y: array. Targets.
        batch_size: int. Samples of a step.
    """
    times: list[list[float]] = []
    start = now()
    fewest, most = ROUNDS
    while len(times) < fewest or (len(times) < most and now() - start < BUDGET):
        times.append([round_of_steps(model, x, y, batch_size) for model in models])
    return np.array(times)
