"""The scaled proximal map of a smooth scalar activation, by Newton's method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.layers.precision import dtype_of

Tensor = Any


def newton_prox(
    value_and_slope: Callable[[Tensor], tuple[Tensor, Tensor]],
    v: Tensor,
    step: Tensor,
) -> Tensor:
    """Return `argmin_x ½(x − v)² + step · Ψ(x)` of each entry.

    With `x = σ(u)` and `Ψ'(x) = u − σ(u)` it solves `g(u) = step · u + (1 − step) σ(u)
    = v`. The slope of `g` lies between 1 and `step`, which brackets the root; Newton's
    step is replaced by a bisection where it leaves the bracket. At `step = 1` the
    answer is `σ(v)` exactly. The last Newton step is the one differentiated: its
    derivative is that of the implicit function. `value_and_slope` maps `u` to `(σ(u),
    σ'(u))`; `v` is float32 or float64.
    """

    def residual(u: Tensor, v: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = value_and_slope(u)
        return v - value - step * (u - value), step + (1.0 - step) * slope

    point, length = ops.stop_gradient(v), ops.stop_gradient(step)
    start, _ = residual(point, point, length)
    near = point + start / ops.maximum(length, 1.0)
    far = point + start / ops.minimum(length, 1.0)

    def iterate(_: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        u, low, high = state
        missing, slope = residual(u, point, length)
        low = ops.where(missing > 0, u, low)
        high = ops.where(missing > 0, high, u)
        newton = u + missing / slope
        # A residual of rounding size may point out of the bracket: no reason to
        # leave a root that is found.
        noise = rounding * (ops.abs(point) + (1.0 + length) * ops.abs(u))
        outside = ((newton < low) | (newton > high)) & (ops.abs(missing) > noise)
        return ops.where(outside, 0.5 * (low + high), newton), low, high

    count, rounding = (20, 2.0**-49) if dtype_of(v) == "float64" else (14, 2.0**-20)
    state = (near, ops.minimum(near, far), ops.maximum(near, far))
    root = ops.stop_gradient(ops.fori_loop(0, count, iterate, state)[0])
    missing, slope = residual(root, v, step)
    return value_and_slope(root + missing / slope)[0]
