"""Two batches of images that are compared."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.layers.precision import as_real
from keras_lifted.layers.precision import dtype_of

Tensor = Any


def pair(owner: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one dtype, float32 or float64.

    Raises:
        ValueError: if their shapes differ or they have no batch.
    """
    a, b = as_real(a), as_real(b)
    same = len(a.shape) == len(b.shape) and all(
        m is None or n is None or m == n for m, n in zip(a.shape, b.shape, strict=True)
    )
    if not same or len(a.shape) < 2:
        raise ValueError(
            f"{owner} compares two batches of images of one shape, (batch, height, "
            f"width, channels). Received: shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    if "float64" in (dtype_of(a), dtype_of(b)):
        return ops.cast(a, "float64"), ops.cast(b, "float64")
    return a, b
