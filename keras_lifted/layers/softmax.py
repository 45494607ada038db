"""Softmax as a proximal activation."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted import checks
from keras_lifted.layers.base import Activation
from keras_lifted.layers.formulas import on_simplex, restrict, xlogx
from keras_lifted.layers.precision import Tensor, dtype_of, wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Softmax(Activation):
    """`σ(z) = eᶻ/Σeᶻ` along an axis.

    `Ψ(x) = Σ x log x − ½‖x‖²` on the simplex, +∞ elsewhere; `F*(z) = log Σeᶻ`. The
    sum of `x` may be off by rounding: 5e-3, or 1e-5 in float64. The Bregman penalty
    against one-hot targets is cross-entropy.

    Args:
        axis: int. The axis of the classes. A `step` of `prox` must be constant along
            it. Defaults to -1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If a sample has no such `axis`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Softmax()(np.array([[0.0, 0.0]]))).tolist()
    [[0.5, 0.5]]
    """

    separable = False

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checks.axis("Softmax", axis)

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.softmax(z, axis=self.axis)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.logsumexp(z, axis=self.axis, keepdims=True)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(on_simplex(x, self.axis, 1.0), xlogx(x) - 0.5 * ops.square(x))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        # With `u = log x` the conditions are `step · u + (1 − step) eᵘ = v − ν` and
        # `Σ eᵘ = 1`. The multiplier `ν` is the root of a falling function between two
        # known bounds: Newton's method, bisection where it leaves them. The last Newton
        # step, on all of `u` at once, is the one differentiated.
        axis = self.axis
        v = v - ops.max(v, axis=axis, keepdims=True)
        point, length = ops.stop_gradient(v), ops.stop_gradient(step)
        size = v.shape[axis]
        double = dtype_of(v) == "float64"

        def iterate(_: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            shift, low, high = state
            x = ops.exp(_log_point(point - shift, length, 12 if double else 8))
            total = ops.sum(x, axis=axis, keepdims=True)
            slope = ops.sum(x / (length + (1.0 - length) * x), axis=axis, keepdims=True)
            low = ops.where(total > 1, shift, low)
            high = ops.where(total > 1, high, shift)
            # On the logarithm of the sum: exact for step 1.
            newton = shift + ops.log(total) * total / slope
            # Close to the root Newton's step is right, whatever rounding says.
            outside = ((newton < low) | (newton > high)) & (ops.abs(total - 1) > 1e-3)
            return ops.where(outside, 0.5 * (low + high), newton), low, high

        zero = ops.zeros_like(ops.max(point, axis=axis, keepdims=True) * length)
        # The largest x lies between 1/size and 1.
        low = zero - (1.0 - length)
        high = zero + length * ops.log(zero + size) - (1.0 - length) / size
        state = (low, low, high)
        shift = ops.fori_loop(0, 16 if double else 12, iterate, state)[0]
        u = ops.stop_gradient(_log_point(point - shift, length, 16 if double else 10))
        return ops.softmax(u + _newton_step(u, v - shift, step, axis), axis=axis)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        # softmax ignores a constant, so d is counted from its smallest entry.
        rest = d - ops.min(d, axis=self.axis, keepdims=True)
        width = ops.max(rest, axis=self.axis, keepdims=True)
        p = ops.softmax(z, axis=self.axis)
        change = ops.expm1(-ops.minimum(rest, 1.0))
        mean = ops.sum(p * change, axis=self.axis, keepdims=True)
        near = p * ((mean - change) / (1.0 + mean))
        return ops.where(width <= 1, near, p - ops.softmax(z - d, axis=self.axis))


def _log_point(t: Tensor, step: Tensor, count: int) -> Tensor:
    """Solve `step · u + (1 − step) eᵘ = t` for `u <= 0`, by `count` Newton steps."""
    # For `step < 1`, `y = eᵘ (1 − step)/step` has `y + log y = τ`: it starts at
    # `y ≈ τ − log τ` for `τ > 1`; otherwise at the bound `u ≈ t/step`.
    below = step < 1
    odds = ops.where(below, (1.0 - step) / step, 1.0)
    tau = t / step + ops.log(odds)
    large = ops.maximum(tau, 1.0)
    start = ops.log((large - ops.log(large)) / odds)
    u = ops.minimum(ops.where(below & (tau > 1), start, t / step), 0.0)

    def iterate(_: Any, u: Tensor) -> Tensor:
        part = (1.0 - step) * ops.exp(u)
        return ops.minimum(u + (t - step * u - part) / (step + part), 0.0)

    return ops.fori_loop(0, count, iterate, u)


def _newton_step(u: Tensor, v: Tensor, step: Tensor, axis: int) -> Tensor:
    """Return Newton's step for `step · u + (1 − step) softmax(u) = v + constant`."""
    # The Jacobian is diagonal plus rank one, inverted by Sherman and Morrison.
    p = ops.softmax(u, axis=axis)
    diagonal = step + (1.0 - step) * p
    missing = (v - step * u - (1.0 - step) * p) / diagonal
    weight = p / diagonal
    mean = ops.sum(p * missing, axis=axis, keepdims=True)
    mean = mean / (step * ops.sum(weight, axis=axis, keepdims=True))
    return missing + (1.0 - step) * weight * mean
