"""Two batches of images that are compared."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.precision import as_real
from keras_lifted.layers.precision import dtype_of

Tensor = Any

# Dtype of an image -> its largest value.
_LARGEST = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}


def pair(
    owner: str, a: Tensor, b: Tensor, data_range: float | None
) -> tuple[Tensor, Tensor, float]:
    """Return both in one dtype, float32 or float64, and the range of their values.

    Raises:
        ValueError: If their shapes differ, they have no batch, or their range is
            needed and not known.
    """
    data_range = check_range(owner, data_range)
    a, b = _tensor(a), _tensor(b)
    same = len(a.shape) == len(b.shape) and all(
        m is None or n is None or m == n for m, n in zip(a.shape, b.shape, strict=True)
    )
    if not same or len(a.shape) < 2:
        raise ValueError(
            f"{owner} compares two batches of images of one shape, (batch, height, "
            f"width, channels). Received: shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    if data_range is None:
        data_range = _range_of(owner, a, b)
    a, b = as_real(a), as_real(b)
    if "float64" in (dtype_of(a), dtype_of(b)):
        a, b = ops.cast(a, "float64"), ops.cast(b, "float64")
    return a, b, data_range


def check_range(owner: str, data_range: Any) -> float | None:
    """Return a positive number, or None, or raise a ValueError."""
    if data_range is None:
        return None
    return checks.positive(owner, "data_range", data_range)


def _tensor(images: Any) -> Tensor:
    return images if hasattr(images, "shape") else ops.convert_to_tensor(images)


def _range_of(owner: str, a: Tensor, b: Tensor) -> float:
    kinds = {dtype_of(a), dtype_of(b)}
    if not any("float" in kind for kind in kinds):
        if len(kinds) == 1 and kinds <= set(_LARGEST):
            return _LARGEST[kinds.pop()]
        raise ValueError(
            f"The range of images of dtypes {sorted(kinds)} is not known. Pass it to "
            f"{owner}, e.g. data_range=255.0."
        )
    try:
        largest = max(float(np.abs(np.asarray(each)).max()) for each in (a, b))
    except Exception:  # a tensor without a value, within a graph
        return 1.0
    if largest > 2.0:
        warnings.warn(
            f"{owner} takes floats for values from 0 to 1, but they reach "
            f"{largest:.3g}. Pass data_range, e.g. 255.0.",
            stacklevel=4,
        )
    return 1.0
