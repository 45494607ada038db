"""Times training steps of several models, alternately, in one run."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np


class StepTimer(keras.callbacks.Callback):
    """Seconds per training step of an epoch, its first steps left out."""

    def __init__(self, warmup: int = 5) -> None:
        super().__init__()
        self.warmup = warmup
        self.seconds = 0.0
        self._steps = 0
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._steps = 0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if batch == self.warmup:
            self._start = time.perf_counter()
        self._steps = batch + 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._steps <= self.warmup:
            raise ValueError(
                f"Expected more than {self.warmup} steps an epoch, the first of which "
                f"are left out. Received: {self._steps}."
            )
        elapsed = time.perf_counter() - self._start
        self.seconds = elapsed / (self._steps - self.warmup)


def one_epoch(model: keras.Model, x: Any, y: Any, batch_size: int) -> float:
    """Seconds per step of one epoch."""
    timer = StepTimer()
    model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=[timer])
    return timer.seconds


def compile_seconds(model: keras.Model, x: Any, y: Any, batch_size: int) -> float:
    """Seconds from the first call of `fit` to the end of its first step."""
    start = time.perf_counter()
    model.fit(x[:batch_size], y[:batch_size], batch_size=batch_size, verbose=0)
    return time.perf_counter() - start


def alternate(
    models: dict[str, keras.Model], x: Any, y: Any, batch_size: int, rounds: int
) -> dict[str, np.ndarray]:
    """Seconds per step, `(rounds,)` for each model, measured in turn."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            times[name].append(one_epoch(model, x, y, batch_size))
    return {name: np.array(values) for name, values in times.items()}
