"""Checks of the arguments of `invert`."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from keras_lifted.layers.precision import real_dtype
from keras_lifted.regularizers.base import Regularizer


def check_regularizer(regularizer: Any) -> Regularizer:
    """A regularizer.

    Raises:
        ValueError: if it is none.
    """
    if isinstance(regularizer, Regularizer):
        return regularizer
    raise ValueError(
        "`regularizer` must be one of keras_lifted.regularizers, such as "
        f"TotalVariation(1e-2), or a sum of them. Received: {regularizer!r}"
    )


def check_data(y: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Data as an array with a batch, of outputs of this shape.

    Raises:
        ValueError: if it is no array of numbers, not finite, empty or of another shape.
    """
    array = np.asarray(y)
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise ValueError(
            "`y` must be an array of numbers. "
            f"Received: {type(y).__name__} of dtype {array.dtype}."
        )
    array = array.astype(real_dtype())
    if array.ndim < 2 or array.size == 0:
        raise ValueError(
            "`y` must be a batch of outputs, (batch, …); add the axis of the batch "
            f"for a single one, y[None]. Received: shape {array.shape}."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(
            "`y` must be finite. Received: an array of shape "
            f"{array.shape} with {int(bad.sum())} NaN or infinite values. Clean the "
            "data (e.g. numpy.nan_to_num)."
        )
    if array.shape[1:] != shape:
        raise ValueError(
            "`y` must have the shape of the network's outputs, (batch, "
            f"{', '.join(map(str, shape))}); add the axis of the batch for a single "
            f"one, y[None]. Received: y of shape {array.shape}."
        )
    return array


def check_start(start: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Inputs to begin with, `shape`; zeros for None.

    Raises:
        ValueError: if they have another shape or are not finite.
    """
    if start is None:
        return np.zeros(shape, real_dtype())
    array = np.asarray(start, dtype=real_dtype())
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(
            f"`start` must be finite inputs of shape {shape}. Received: shape "
            f"{array.shape}, {int((~np.isfinite(array)).sum())} values not finite."
        )
    return array


def check_choice(name: str, value: Any, choices: tuple[Any, ...]) -> Any:
    """One of the choices.

    Raises:
        ValueError: otherwise.
    """
    if any(value is c or (isinstance(c, str) and value == c) for c in choices):
        return value
    raise ValueError(f"`{name}` must be one of {choices}. Received: {name}={value!r}")


def check_positive(name: str, value: Any, batch: int, fix: str) -> np.ndarray:
    """A positive number, or one for each sample, as `(batch,)`.

    Raises:
        ValueError: otherwise; `fix` says what to do.
    """
    try:
        numbers_ = np.broadcast_to(np.asarray(value, dtype="float64"), (batch,))
        good = bool(np.isfinite(numbers_).all() and (numbers_ > 0).all())
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            f"`{name}` must be positive and finite, one number or {batch}, one for "
            f"each sample; {fix}. Received: {name}={value!r}"
        )
    return numbers_


def check_tolerance(value: Any) -> float:
    """A number of at least 0.

    Raises:
        ValueError: otherwise.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if number and math.isfinite(value) and value >= 0:
        return float(value)
    raise ValueError(
        "`tolerance` must be a number of at least 0; 0 takes all steps. "
        f"Received: tolerance={value!r}"
    )
