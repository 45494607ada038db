"""Euclidean norms of groups, and the shrinkage built on them."""

from typing import Any

from keras import ops

from keras_lifted.layers.formulas import relu_difference

Tensor = Any
Axes = int | tuple[int, ...] | None


def resolve(axis: Axes, z: Tensor) -> int | tuple[int, ...]:
    """Return `axis`, or all axes but the batch for None."""
    return tuple(range(1, len(z.shape))) if axis is None else axis


def norm(z: Tensor, axis: Axes) -> Tensor:
    """Return `‖z‖₂` over `axis`, kept as axes of length 1; its gradient at 0 is 0."""
    square = ops.sum(ops.square(z), axis=resolve(axis, z), keepdims=True)
    zero = square == 0
    return ops.where(zero, 0.0, ops.sqrt(ops.where(zero, 1.0, square)))


def divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return `numerator / denominator`, or 0 where the denominator is 0."""
    zero = denominator == 0
    return ops.where(zero, 0.0, numerator / ops.where(zero, 1.0, denominator))


def shrink(z: Tensor, threshold: Any, axis: Axes) -> Tensor:
    """Return `z · max(1 − threshold/‖z‖, 0)`."""
    length = norm(z, axis)
    return z * divide(ops.maximum(length - threshold, 0.0), length)


def shrink_difference(z: Tensor, d: Tensor, threshold: Any, axis: Axes) -> Tensor:
    """Return `shrink(z) − shrink(z − d)` without cancellation.

    With unit vectors `â, b̂` and excesses `ρ = max(‖·‖ − threshold, 0)` it is
    `(ρ_a − ρ_b) â + ρ_b (â − b̂)`; `‖a‖ − ‖b‖ = ⟨d, a + b⟩/(‖a‖ + ‖b‖)`.
    """
    a, b = z, z - d
    length_a, length_b = norm(a, axis), norm(b, axis)
    mean = divide(a + b, length_a + length_b)
    dots = ops.sum(d * mean, axis=resolve(axis, z), keepdims=True)
    unit_a, unit_b = divide(a, length_a), divide(b, length_b)
    excess = relu_difference(length_a - threshold, dots)
    excess_b = ops.maximum(length_a - threshold, 0.0) - excess
    shorter = ops.where(length_a >= length_b, unit_b, unit_a)
    longest = ops.maximum(length_a, length_b)
    return excess * unit_a + excess_b * divide(d - dots * shorter, longest)
