"""Penalty continuation: weights that change from epoch to epoch."""

import math
from collections.abc import Callable
from typing import Any, final

import keras
from keras import ops

from keras_lifted.checks import described
from keras_lifted.models.build import build
from keras_lifted.optimizers import lifted_part
from keras_lifted.penalties.base import check_names


@final
class PenaltyScheduler(keras.callbacks.Callback):
    """A callback that sets the penalty weights at the start of every epoch.

    The method of auxiliary coordinates raises `w` step by step, so that early
    epochs are easy and late ones close to the nested network.

    Args:
        schedule: callable. `schedule(epoch, weights)` returns the new weight, one
            number for all blocks or a dict by activation name (others keep theirs).
            `epoch` counts from 0, `weights` is `{activation name: weight}`.

    Raises:
        ValueError: If `schedule` is not a function, the model is not lifted, a weight
            is not positive and finite, or a name is unknown.

    Source: Carreira-Perpiñán & Wang, arXiv 1212.5921, section 3.

    Example:

    >>> import keras_lifted as kl
    >>> double = lambda epoch, w: min(10.0 * 2**epoch, 100.0)
    >>> ramp = kl.callbacks.PenaltyScheduler(double)
    >>> ramp.schedule(3, {"relu": 1.0})
    80.0
    """

    def __init__(self, schedule: Callable[[int, dict[str, float]], Any]) -> None:
        super().__init__()
        if not callable(schedule):
            raise ValueError(
                "`schedule` must be a function of the epoch and the penalty weights. "
                f"Received: schedule={described(schedule)}. Write for example "
                "`lambda epoch, weights: 10.0 * 2**epoch`."
            )
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the weights."""
        model = self.model
        optimizer = lifted_part(getattr(model, "optimizer", None))
        if optimizer is None:
            raise ValueError(
                "PenaltyScheduler sets the penalty weights of a LiftedModel. "
                f"Received: the model '{model.name}' of {type(model).__name__}."
            )
        build(model)
        assert optimizer.lifted is not None
        values = ops.convert_to_numpy(optimizer.lifted.weight).copy()
        names = [block.name for block in model.lifted_blocks]
        now = dict(zip(names, map(float, values), strict=True))
        new = self.schedule(epoch, dict(now))
        by_name = new if isinstance(new, dict) else dict.fromkeys(names, new)
        check_names(by_name, names, default=False)
        for i, name in enumerate(names):
            if name in by_name and math.isfinite(optimizer.penalty.weight_of(name)):
                weight = float(by_name[name])
                if not math.isfinite(weight) or weight <= 0:
                    raise ValueError(
                        "A penalty weight must be positive and finite. Received from "
                        f"the schedule: {weight} for '{name}'."
                    )
                values[i] = weight
        optimizer.lifted.weight.assign(values)
