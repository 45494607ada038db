"""Distances of outputs from data, without cancellation: never below zero."""

from typing import Any

from keras import ops

from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.softmax import Softmax

Tensor = Any

# Pre-activations that are closer than this are compared by an integral between them,
# whose end is found by so many secants.
_NEAR, _SECANTS, _EQUAL = 0.1, 4, 1e-5


def bregman(sigma: ProximalMap, y: Tensor, z: Tensor) -> Tensor:
    """Return `F(y) + F*(z) − ⟨y, z⟩ = D_F(y, σ(z)) ≥ ½‖y − σ(z)‖²`, `(batch,)`."""
    activation, x = sigma.activation, sigma(z)
    if isinstance(activation, Softmax):
        shift = ops.max(z, axis=activation.axis, keepdims=True)
        total = ops.logsumexp(z - shift, axis=activation.axis, keepdims=True)
        return sum_per_sample(relative_entropy(y, x, z - shift - total))
    least = 0.5 * ops.square(y - x)
    there = activation.potential_terms(y, *sigma.parameters)
    here = activation.potential_terms(x, *sigma.parameters)
    if not activation.separable:  # with fewer potentials than units
        rest = sum_per_sample(there - here) - sum_per_sample((z - x) * (y - x))
        return sum_per_sample(least) + ops.maximum(rest, 0.0)
    by_conjugate = (
        x * z - 0.5 * ops.square(x) - activation.conjugate_terms(z, *sigma.parameters)
    )
    here = ops.where(ops.isfinite(here), here, by_conjugate)
    direct = least + ops.maximum(there - here - (z - x) * (y - x), 0.0)
    # Near: with σ(z + d) = y it is ∫₀ᵈ σ(z + d) − σ(z + t) dt, by Simpson's rule.
    r = y - x
    h = ops.full_like(z, 1e-2)
    slope = sigma.difference(z + h, 2.0 * h) / (2.0 * h)
    d = r / ops.maximum(slope, 1e-12)
    for _ in range(_SECANTS):
        reached = sigma.difference(z + d, d)
        d = d * ops.where(reached == 0, 1.0, r / ops.where(reached == 0, 1.0, reached))
    reached = sigma.difference(z + d, d)
    first, middle, last = (sigma.difference(z + d, t * d) for t in (0.75, 0.5, 0.25))
    coarse = d * (r + 4.0 * middle) / 6.0
    fine = d * (r + 4.0 * first + 2.0 * middle + 4.0 * last) / 12.0
    # They differ at a kink, on whose sides the potential is simple: direct is exact.
    near = ops.abs(d) <= _NEAR
    near = ops.logical_and(near, ops.abs(reached - r) <= _EQUAL * ops.abs(r))
    near = ops.logical_and(near, ops.abs(fine - coarse) <= _EQUAL * ops.abs(fine))
    return sum_per_sample(ops.where(near, fine, direct))


def relative_entropy(y: Tensor, x: Tensor, log_x: Tensor | None = None) -> Tensor:
    """Return `x − y + y log(y/x)`, for `y ≥ 0`; `+∞` for `x < 0`, and for `x = 0 < y`.

    `log_x` is `log x`, where it is known beyond what `x` holds.
    """
    positive = ops.logical_and(y > 0, x > 0)
    safe_y = ops.where(y > 0, y, 1.0)
    r = ops.where(positive, (x - y) / safe_y, 0.0)
    # r − log(1 + r), by its series where that cancels.
    series = ops.square(r) * (0.5 - r * (1.0 / 3.0 - r * (0.25 - 0.2 * r)))
    if log_x is None:
        log_x = ops.log(ops.where(positive, x, 1.0))
        forbidden = ops.logical_or(x < 0, ops.logical_and(x == 0, y > 0))
    else:
        forbidden = x < 0
    ratio = ops.where(y > 0, log_x - ops.log(safe_y), 0.0)
    far = y * ((x - y) / safe_y - ratio)
    value = ops.where(ops.abs(r) < 0.03, y * series, ops.maximum(far, 0.0))
    value = ops.where(y > 0, value, x)
    return ops.where(forbidden, float("inf"), value)
