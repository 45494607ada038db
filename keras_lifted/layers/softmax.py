"""Softmax as a proximal activation."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import on_simplex
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import xlogx
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide
from keras_lifted.layers.softmax_prox import softmax_prox


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Softmax(ProximalActivation):
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
    >>> kl.layers.Softmax()(np.array([[0.0, 0.0]])).numpy().tolist()
    [[0.5, 0.5]]
    """

    separable = False

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checks.axis("Softmax", axis)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis}

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.softmax(z, axis=self.axis)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.logsumexp(z, axis=self.axis, keepdims=True)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(on_simplex(x, self.axis, 1.0), xlogx(x) - 0.5 * ops.square(x))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return softmax_prox(v, step, self.axis)

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
