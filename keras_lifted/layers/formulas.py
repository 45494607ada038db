"""Formulas of numbers and of norms that several activations share."""

from typing import Any

from keras import ops

from keras_lifted.layers.precision import dtype_of

Tensor = Any
Axes = int | tuple[int, ...] | None


def clip(z: Tensor, low: Any, high: Any) -> Tensor:
    """Return `min(max(z, low), high)`; the bounds may be tensors that broadcast."""
    return ops.minimum(ops.maximum(z, low), high)


def clip_difference(z: Tensor, d: Tensor, low: Any, high: Any) -> Tensor:
    """Return `clip(z) − clip(z − d)` without cancellation."""
    s = clip(z, low, high)
    return clip((s - z) + d, s - high, s - low)


def relu_difference(z: Tensor, d: Tensor) -> Tensor:
    """Return `max(z, 0) − max(z − d, 0)` without cancellation."""
    s = ops.maximum(z, 0.0)
    return ops.minimum((s - z) + d, s)


def hypotenuse(z: Tensor) -> Tensor:
    """Return `√(1 + z²)`, free of overflow."""
    large = ops.maximum(ops.abs(z), 1.0)
    small = ops.minimum(ops.abs(z), 1.0)
    return large * ops.sqrt(1.0 + ops.square(small / large))


def hypotenuse_less_one(z: Tensor) -> Tensor:
    """Return `√(1 + z²) − 1` without cancellation."""
    return ops.abs(z) * (ops.abs(z) / (1.0 + hypotenuse(z)))


def isru(z: Tensor) -> Tensor:
    """Return `z / √(1 + z²)`."""
    return z / hypotenuse(z)


def isru_same_sign_difference(a: Tensor, b: Tensor, d: Tensor) -> Tensor:
    """Return `isru(a) − isru(b)`, `d = a − b`, for `a b >= 0`."""
    # from `a²(1 + b²) − b²(1 + a²) = d (a + b)`
    ra, rb = hypotenuse(a), hypotenuse(b)
    below = a * rb + b * ra
    flat = below == 0
    ratio = ops.where(flat, 1.0, (a + b) / ops.where(flat, 1.0, below))
    return (d / ra) * (ratio / rb)


def isru_potential(x: Tensor) -> Tensor:
    """Return `1 − x²/2 − √(1 − x²)` for `|x| <= 1`; anything, but no NaN, elsewhere."""
    square = ops.minimum(ops.square(x), 1.0)
    return square / (1.0 + ops.sqrt(1.0 - square)) - 0.5 * square


def xlogx(x: Tensor) -> Tensor:
    """Return `x log x` for `x > 0`, else 0."""
    return x * ops.log(ops.where(x > 0, x, 1.0))


def one_plus_x_log(x: Tensor) -> Tensor:
    """Return `(1 + x) log(1 + x)` for `x > −1`, else 0."""
    return (1.0 + x) * ops.log1p(ops.where(x > -1, x, 0.0))


def exp_arsinh(z: Tensor) -> Tensor:
    """Return `z + √(1 + z²)` without cancellation for `z < 0`."""
    size = ops.abs(z) + hypotenuse(z)
    return ops.where(z >= 0, size, 1.0 / size)


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


def _axes(axis: Axes, z: Tensor) -> int | tuple[int, ...]:
    """Return `axis`, or all axes but the batch for None."""
    return tuple(range(1, len(z.shape))) if axis is None else axis


def norm(z: Tensor, axis: Axes) -> Tensor:
    """Return `‖z‖₂` over `axis`, kept as axes of length 1; its gradient at 0 is 0."""
    square = ops.sum(ops.square(z), axis=_axes(axis, z), keepdims=True)
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
    dots = ops.sum(d * mean, axis=_axes(axis, z), keepdims=True)
    unit_a, unit_b = divide(a, length_a), divide(b, length_b)
    excess = relu_difference(length_a - threshold, dots)
    excess_b = ops.maximum(length_a - threshold, 0.0) - excess
    shorter = ops.where(length_a >= length_b, unit_b, unit_a)
    longest = ops.maximum(length_a, length_b)
    return excess * unit_a + excess_b * divide(d - dots * shorter, longest)
