"""The optimizers that are compared.

A method without a rate runs at its defaults, told the number of steps. Others have
their rate searched, and a schedule over the run whose rate and length are variables
of the optimizer, so that all runs share one compiled step.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

import keras_lifted as kl
from benchmarks import baselines

optimizers = keras.optimizers


# -- schedules: the share of the rate, from the share of the run -----------------


def linear(t: Any) -> Any:
    """Fall from 1 to 0."""
    return 1 - t


def one_cycle(t: Any) -> Any:
    """Rise from 1/25 over 0.3 of the run, then fall to 0 along a cosine."""
    rise = (1 + 24 * t / 0.3) / 25
    fall = (1 + ops.cos(np.pi * (t - 0.3) / 0.7)) / 2
    return ops.where(t < 0.3, rise, fall)


def warm_up(t: Any) -> Any:
    """Rise from 0.1 to 1 over 0.05 of the run, then stay."""
    return ops.minimum(0.1 + 0.9 * t / 0.05, 1)


class Schedule(optimizers.schedules.LearningRateSchedule):
    """A rate times a function of the share of the run.

    Args:
        optimizer: keras.optimizers.Optimizer. It keeps the variables `rate` and
            `steps`, and is given this schedule.
        shape: callable. The share of the rate from that of the run.
    """

    def __init__(
        self, optimizer: optimizers.Optimizer, shape: Callable[[Any], Any]
    ) -> None:
        self.shape = shape
        self.rate = optimizer.add_variable((), name="peak")
        self.steps = optimizer.add_variable((), initializer="ones", name="steps")
        optimizer.learning_rate = self

    def __call__(self, step: Any) -> Any:
        t = ops.minimum(ops.cast(step, "float32") / self.steps, 1)
        return self.rate * self.shape(t)

    def get_config(self) -> dict[str, Any]:
        return {}


# -- methods ----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Method:
    """An optimizer.

    Attributes:
        make: callable. The optimizer, from keyword arguments; of those that decay
            by themselves, the number of steps is one.
        rate: float or None. Where the search for the rate begins.
        schedule: callable. What the rate does over a run.
        lifted: bool. Whether it trains a `kl.LiftedModel`.
        ours: bool. Whether it is this library's, and so belongs to a commit.
    """

    make: Callable[..., optimizers.Optimizer]
    rate: float | None = None
    schedule: Callable[[Any], Any] = linear
    lifted: bool = False
    ours: bool = False


def steepest_descent(steps: int, **arguments: Any) -> optimizers.Optimizer:
    """`kl.optimizers.SteepestDescent` that decays over a number of steps."""
    cls = getattr(kl.optimizers, "SteepestDescent", None)
    if cls is None:
        raise ValueError(
            "Expected `kl.optimizers.SteepestDescent`. Received: a keras_lifted "
            "without it. Leave 'steepest_descent' out of `--methods`."
        )
    return cls(**{"decay": steps, **arguments})


def lifted_adam_rounds(steps: int) -> optimizers.Optimizer:
    """Adam at its default rate; stacks in two rounds forward and one backward."""
    update = kl.updates.AllAtOnce(2, 1, tolerance=None)
    return kl.optimizers.BlockCoordinateDescent("adam", lifted_update=update)


METHODS: dict[str, Method] = {
    "sgd": Method(functools.partial(optimizers.SGD, momentum=0.9, nesterov=True), 0.1),
    "adam": Method(optimizers.Adam, 0.002),
    "adamw": Method(optimizers.AdamW, 0.002),
    "one_cycle_adamw": Method(optimizers.AdamW, 0.005, one_cycle),
    "schedule_free_adamw": Method(baselines.ScheduleFreeAdamW, 0.005, warm_up),
    # Keras's Muon serves convolutions and biases by AdamW at the same rate.
    "muon": Method(optimizers.Muon, 0.005),
    "muon_adamw_output": Method(
        functools.partial(optimizers.Muon, exclude_layers=["output"]), 0.005
    ),
    "shampoo": Method(baselines.Shampoo, 0.002),
    "soap": Method(baselines.SOAP, 0.005),
    "steepest_descent": Method(steepest_descent, ours=True),
    "lifted_steepest_descent": Method(steepest_descent, lifted=True, ours=True),
    "lifted_adam": Method(optimizers.Adam, 0.002, lifted=True, ours=True),
    "lifted_adam_rounds": Method(lifted_adam_rounds, lifted=True, ours=True),
}
BASELINES = [name for name, method in METHODS.items() if not method.ours]
