"""Runs a suite: every task with every method, one record a run."""

from __future__ import annotations

import copy
import functools
import gc
import json
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_lifted as kl
from benchmarks import rates, store, timing
from benchmarks.data import Data
from benchmarks.methods import METHODS, Method, Schedule
from benchmarks.store import Record
from benchmarks.tasks import TASKS, Task

Measure = Callable[[Record], Record]
# Batches of images that are judged at once.
JUDGED = 1000
ROUND = timing.WARM_UP + timing.STEPS


@functools.lru_cache(1)
def load(task: str, samples: int | None) -> Data:
    """Return the data of a task, kept while the task stays the same."""
    return TASKS[task].load(samples)


class Session:
    """A compiled model, which runs of one method use one after another.

    Args:
        task: Task. What is trained.
        method: Method. The optimizer.
        arguments: dict. Further arguments of the optimizer.
        steps: int. Steps of the runs.
        data: Data. Its first batch is that of the first step.

    Attributes:
        first_step: float. Seconds of the first step, compilation included.
        start: float. Seconds of the first step and of a round, in which methods
            may compile what they do now and then.
    """

    def __init__(
        self,
        task: Task,
        method: Method,
        arguments: dict[str, Any],
        steps: int,
        data: Data,
    ) -> None:
        self.task, self.method = task, method
        self.arguments, self.steps, self.data = arguments, steps, data
        self.schedule: Schedule | None = None
        self.model = self._fresh(0)
        self.first_step = self._steps(1)
        self.start = self.first_step + self._steps(ROUND)

    def _fresh(self, seed: int) -> keras.Model:
        """Build a model and its optimizer from a seed."""
        keras.utils.set_random_seed(seed)
        task, method = self.task, self.method
        arguments = copy.deepcopy(self.arguments)  # Keras changes configs in place
        model = task.build(kl.LiftedModel if method.lifted else keras.Model)
        if method.rate is None:
            optimizer = method.make(steps=self.steps, **arguments)
        else:
            optimizer = method.make(**arguments)
            schedule = Schedule(optimizer, method.schedule)
            self.schedule = self.schedule or schedule
        model.compile(optimizer, task.loss(), jit_compile=task.jit_compile)
        model.optimizer.build(model.trainable_variables)
        return model

    def _steps(self, count: int) -> float:
        """Take so many steps, or as many as there are, and return their seconds."""
        size = self.task.batch_size
        count = min(count, len(self.data.train[0]) // size)
        return timing.steps(self.model, *self.data.train, size, count)

    def run(self, seed: int, rate: float | None, epochs: int) -> Record:
        """Train from a seed; return seconds and summary."""
        start = [np.array(v) for v in _state(self._fresh(seed))]
        self._steps(1)  # a new seed makes TensorFlow load its kernels again
        for variable, value in zip(_state(self.model), start, strict=True):
            variable.assign(value)
        if self.schedule is not None:
            self.schedule.rate.assign(rate)
            self.schedule.steps.assign(self.steps)
        watch = timing.Stopwatch()
        size = self.task.batch_size
        n = len(self.data.train[0]) // size * size
        x, y = (each[:n] for each in self.data.train)
        finite = True
        try:
            history = self.model.fit(
                x, y, batch_size=size, epochs=epochs, verbose=0, callbacks=[watch]
            ).history
            finite = math.isfinite(history["loss"][-1])
        except ValueError as error:
            if "finite" not in str(error):
                raise
            finite = False
        summary = self._judge() if finite else {}
        return {
            "seconds": watch.seconds,
            "first_step": self.first_step,
            "summary": summary,
        }

    def _judge(self) -> Record:
        """Quality and loss on held-out and on test samples."""
        found = {}
        for quality, loss, (x, y) in (
            ("validation", "validation_loss", self.data.validation),
            ("quality", "loss", self.data.test),
        ):
            prediction = self.model.predict(x, batch_size=JUDGED, verbose=0)
            found[quality] = self.task.quality(prediction, y)
            found[loss] = float(self.task.loss()(y, prediction))
        return {name: value for name, value in found.items() if math.isfinite(value)}


def _state(model: keras.Model) -> list[keras.Variable]:
    """All that training changes."""
    return [*model.weights, *model.optimizer.variables]


class Runner:
    """Measures what is asked for, unless a stored record of it stands.

    Args:
        path: pathlib.Path. The file of records.
        again: bool. Whether to measure what has a record too.
    """

    def __init__(self, path: Any = store.RUNS, again: bool = False) -> None:
        self.path = path
        store.context()  # the commit when the code is loaded
        self.stored = [] if again else store.load(path)
        self.new: dict[str, Record] = {}

    def measured(self, config: Record, measure: Measure) -> Record:
        """Return the record of a configuration; print and keep a new one."""
        ours = METHODS[config["method"]].ours
        key = json.dumps(config)
        record = self.new.get(key) or store.find(self.stored, config, ours)
        if record is None:
            record = self.new[key] = {"config": config, **measure(config)}
            store.append(record, self.path)
            print(_line(record), flush=True)
        return record


def quality(
    runner: Runner,
    task: str,
    method: str,
    *,
    epochs: int,
    seeds: int,
    arguments: dict[str, Any],
    samples: int | None,
    rate: float | None = None,
) -> None:
    """Measure what a method reaches in so many epochs, from every seed.

    The rate is the best on held-out samples with seed 0, where it is searched.
    """
    chosen = METHODS[method]
    data = load(task, samples)
    steps = epochs * (len(data.train[0]) // TASKS[task].batch_size)
    session = functools.cache(
        lambda: Session(TASKS[task], chosen, arguments, steps, data)
    )  # built only where a record lacks

    def measure(config: Record) -> Record:
        return session().run(config["seed"], config["rate"], epochs)

    def at(rate: float | None, seed: int) -> Record:
        config = {
            **{"measure": "quality", "task": task, "method": method},
            **{"arguments": arguments, "rate": rate, "seed": seed},
            **{"epochs": epochs, "samples": len(data.train[0])},
            **{"batch_size": TASKS[task].batch_size},
        }
        return runner.measured(config, measure)

    def score(rate: float) -> float:
        return TASKS[task].choice(at(rate, 0)["summary"])

    if chosen.rate is None:
        rate = None
    elif rate is None:
        rate = rates.climb(chosen.rate, score)
    for seed in range(seeds):
        at(rate, seed)
    session.cache_clear()
    gc.collect()


def cost(
    runner: Runner, task: str, methods: list[str], *, arguments: dict[str, Any]
) -> None:
    """Measure first step, step and state of methods beside Adam's, in turn."""
    warm_process()
    data = load(task, TASKS[task].batch_size * ROUND)
    adam = Session(TASKS[task], METHODS["adam"], {}, timing.STEPS, data)
    for method in methods:
        ours = arguments if METHODS[method].ours else {}
        config = {
            **{"measure": "cost", "task": task, "method": method},
            **{"arguments": ours, "batch_size": TASKS[task].batch_size},
            "jit_compile": TASKS[task].jit_compile,
        }
        runner.measured(config, functools.partial(_cost, adam))
        gc.collect()


def _cost(adam: Session, config: Record) -> Record:
    """Measure one method beside Adam."""
    method, data = METHODS[config["method"]], adam.data
    session = Session(adam.task, method, config["arguments"], timing.STEPS, data)
    models = [adam.model, session.model]
    times = timing.in_turn(models, *data.train, adam.task.batch_size)
    ratios = times[:, 1] / times[:, 0]
    adams_step, step = np.median(times, axis=0)
    compiling = session.start - (1 + ROUND) * step
    adams = adam.start - (1 + ROUND) * adams_step
    model = session.model
    weights = sum(math.prod(v.shape) for v in model.trainable_variables)
    state = sum(math.prod(v.shape) for v in model.optimizer.variables)
    return {
        "seconds": float(step),
        "first_step": session.first_step,
        "summary": {
            "first_step / Adam's": session.first_step / adam.first_step,
            "compile / Adam's": float(compiling / adams),
            "step / Adam's": float(np.median(ratios)),
            "quartiles": [float(q) for q in np.percentile(ratios, (25, 75))],
            "state / weights": state / weights,
            "weights": weights,
        },
    }


@functools.cache
def warm_process() -> None:
    """Train a small model, so that the first one measured pays for no start-up."""
    Session(TASKS["mlp_cost"], METHODS["adam"], {}, 1, load("mlp_cost", 128))


def _line(record: Record) -> str:
    """One line of what has been measured."""
    config = record["config"]
    shown = [config["task"], config["method"]]
    for name in ("epochs", "rate", "seed"):
        if config.get(name) is not None:
            shown.append(f"{name} {config[name]:g}")
    shown += [f"{k} {v:.4g}" for k, v in record["summary"].items() if k != "quartiles"]
    shown += [f"{record['seconds']:.3g} s, first step {record['first_step']:.3g} s"]
    return " | ".join(shown)
