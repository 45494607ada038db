"""Checks of what optimizers are given."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_lifted.checks import check_number, described

# Arguments of `keras.optimizers.Optimizer` that are None or at least 0.
_AMOUNTS = (
    "weight_decay",
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "loss_scale_factor",
)


def check_rate(rate: Any) -> Any:
    """Return a number as a float; tensors, schedules and callables as they are.

    Raises:
        ValueError: If `rate` is none of these, negative or not finite.
    """
    if callable(rate) or keras.ops.is_tensor(rate) or isinstance(rate, keras.Variable):
        return rate
    if isinstance(rate, np.ndarray) and rate.ndim == 0:
        rate = rate.item()
    expected = "of at least 0, a schedule or a callable"
    return check_number("learning_rate", rate, lambda number: number >= 0, expected)


def check_settings(decay: Any, settings: Mapping[str, Any]) -> None:
    """Raise a ValueError if `decay` is unknown, or an amount in `settings` negative."""
    whole = isinstance(decay, int) and not isinstance(decay, bool) and decay >= 1
    if not (decay is None or decay == "fit" or whole):
        raise ValueError(
            "`decay` must be 'fit' (over the steps of each fit), a number of steps, or "
            f"None for a constant rate. Received: decay={decay!r}"
        )
    for name in _AMOUNTS:
        if settings.get(name) is not None:
            value = settings[name]
            check_number(name, value, lambda number: number >= 0, "of at least 0")


def keras_optimizer(name: str, identifier: Any) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer that the argument `name` means by `identifier`.

    Raises:
        ValueError: If it means none.
    """
    try:
        optimizer = keras.optimizers.get(identifier)
    except ValueError:
        if isinstance(identifier, dict):  # its own arguments are at fault
            raise
        optimizer = None
    if optimizer is None:
        raise ValueError(
            f"`{name}` must be an optimizer: an instance such as "
            "keras.optimizers.Adam(), a name such as 'adam', or a config. "
            f"Received: {name}={described(identifier)}"
        )
    return optimizer
