"""Domains of potentials: +∞ outside, room for rounding on surfaces."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.layers.precision import dtype_of

Tensor = Any


def restrict(inside: Tensor, terms: Tensor) -> Tensor:
    """Return `terms` where `inside`, +∞ elsewhere."""
    return ops.where(inside, terms, float("inf"))


def tolerance(x: Tensor) -> float:
    """Return the relative error up to which a sum or norm still counts as right.

    A float32 `x` may hold bfloat16 values, each rounded by up to 2⁻⁸ of itself,
    so 5e-3 for float32; 1e-5 for float64, which may hold float32 values.
    """
    return 1e-5 if dtype_of(x) == "float64" else 5e-3


def on_simplex(x: Tensor, axis: int, total: float) -> Tensor:
    """Return for each entry whether `x >= 0` with `Σx = total` along `axis`."""
    sums = ops.sum(x, axis=axis, keepdims=True)
    return (x >= 0) & (ops.abs(sums - total) <= tolerance(x) * total)
