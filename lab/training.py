"""Trains one compiled model in turns: many runs, one compilation."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from data import Arrays
from keras import ops
from methods import Method
from report import now
from task import Task

import keras_lifted as kl

State = list[np.ndarray]
# Steps of a cosine whose rate is constant in float32.
FOREVER = 1e30


class Clock(keras.callbacks.Callback):
    """Seconds and loss of an epoch, and the state before any final averaging."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = self.loss = float("nan")
        self.state: State = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = now()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds = now() - self._start
        self.loss = float(logs["loss"])
        self.state = state_of(self.model)


class Trainer:
    """A model and its optimizer, whose state runs put in and take out.

    Learning rate and horizon are optimizer variables, so that rates and
    schedules share one compiled step.
    """

    def __init__(
        self, task: Task, method: Method, arguments: Any = None, xla: bool = True
    ) -> None:
        self.task, self.method, self.arguments = task, method, arguments or {}
        self.xla = xla
        self.model = self._fresh(0)
        self.default_rate = float(self.model.optimizer.learning_rate)
        self.first_seconds = float("nan")  # of the first step, with compilation
        self._ready = False

    def _fresh(self, seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = self.task.build(kl.LiftedModel if self.method.lifted else keras.Model)
        optimizer = self.method.make(**self.arguments)
        if self.method.start is not None:
            schedule(optimizer)
        model.compile(optimizer=optimizer, loss=self.task.loss(), jit_compile=self.xla)
        model.optimizer.build(model.trainable_variables)
        return model

    def start(
        self, seed: int, rate: float | None = None, steps: float | None = None
    ) -> State:
        """The state from which a run starts.

        Args:
            seed: of the initial weights.
            rate: learning rate, None for the optimizer's own.
            steps: after which a cosine ends at zero, None for a constant rate.
        """
        put(self.model, state_of(self._fresh(seed)))
        self._ready = False  # TensorFlow drops its kernels when a seed is set
        optimizer = self.model.optimizer
        if self.method.start is not None:
            decay = _moving(optimizer)._learning_rate
            decay.initial_learning_rate.assign(rate or self.default_rate)
            decay.decay_steps.assign(steps or FOREVER)
        elif rate is not None:
            optimizer.learning_rate = rate
        if self.method.decays:
            optimizer.decay.begin.assign(0.0)
            optimizer.decay.length.assign(steps or 0.0)
        return state_of(self.model)

    def epoch(self, state: State, x: Any, y: Any) -> tuple[State, float, float]:
        """One epoch from `state`: the next state, its loss and seconds.

        The model is left as `fit` leaves it, which may average weights. The
        state is empty and the loss NaN after a loss that is not finite.
        """
        if not self._ready:
            batch = slice(self.task.batch_size)
            seconds = self._fit(x[batch], y[batch]).seconds
            if math.isnan(self.first_seconds):
                self.first_seconds = seconds
            self._ready = True
        put(self.model, state)
        clock = self._fit(x, y)
        if not math.isfinite(clock.loss):
            return [], float("nan"), clock.seconds
        return clock.state, clock.loss, clock.seconds

    def _fit(self, x: Any, y: Any) -> Clock:
        clock = Clock()
        size = self.task.batch_size
        try:
            self.model.fit(
                x, y, batch_size=size, shuffle=False, verbose=0, callbacks=[clock]
            )
        except ValueError:  # LiftedModel stops at a loss that is not finite
            if math.isnan(clock.seconds) or math.isfinite(clock.loss):
                raise
        return clock


class Judge:
    """The quality of weights, from a model that all methods share."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.model = task.build(keras.Model)

    def __call__(self, model: keras.Model, arrays: Arrays) -> float:
        return self.task.quality(*self._predicted(model, arrays))

    def all(self, model: keras.Model, arrays: Arrays) -> dict[str, float]:
        """The task's quality and its others, by name."""
        pair = self._predicted(model, arrays)
        measures = {"quality": self.task.quality, **self.task.others}
        return {name: measure(*pair) for name, measure in measures.items()}

    def _predicted(self, model: keras.Model, arrays: Arrays) -> Arrays:
        x, y = arrays
        self.model.set_weights(model.get_weights())
        return self.model.predict(x, batch_size=1000, verbose=0), y


def _moving(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that moves the weights: itself, or the one it wraps."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def schedule(optimizer: keras.optimizers.Optimizer) -> None:
    """Give it a cosine decay whose rate and horizon are optimizer variables."""
    optimizer = _moving(optimizer)
    default = float(optimizer.learning_rate)
    rate = optimizer.add_variable((), name="initial_rate")
    steps = optimizer.add_variable((), initializer="ones", name="horizon")
    rate.assign(default)
    cosine = keras.optimizers.schedules.CosineDecay(rate, 1)
    cosine.decay_steps = steps
    optimizer.learning_rate = cosine


def shuffled(arrays: Arrays, batch_size: int, seed: int, epoch: int) -> Arrays:
    """Whole batches in the order of this epoch, the same for every method."""
    x, y = arrays
    order = np.random.default_rng([seed, epoch]).permutation(len(x))
    order = order[: len(x) // batch_size * batch_size]
    return x[order], y[order]


def train(
    trainer: Trainer,
    judge: Judge,
    train: Arrays,
    judged: Arrays,
    epochs: int,
    seed: int = 0,
    rate: float | None = None,
    cosine: bool = False,
) -> float:
    """Quality after a run of its own; NaN where it failed."""
    size = trainer.task.batch_size
    steps = epochs * (len(train[0]) // size)
    decays = cosine or trainer.method.decays
    state = trainer.start(seed, rate, steps if decays else None)
    for epoch in range(epochs):
        state, loss, _ = trainer.epoch(state, *shuffled(train, size, seed, epoch))
        if not state:
            return float("nan")
    return judge(trainer.model, judged)


def state_of(model: keras.Model) -> State:
    """Values of all weights and optimizer variables."""
    return [ops.convert_to_numpy(v).copy() for v in _variables(model)]


def put(model: keras.Model, state: State) -> None:
    """Make `state` the model's."""
    for variable, value in zip(_variables(model), state, strict=True):
        variable.assign(value)


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.weights, *model.optimizer.variables]
