"""Soft threshold as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.formulas import clip
from keras_lifted.layers.formulas import clip_difference
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide
from keras_lifted.layers.thresholded import Thresholded


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SoftThreshold(Thresholded):
    """`σ(z) = sign(z) · max(|z| − λ, 0)`, the proximal map of the 1-norm.

    `Ψ(x) = λ |x|`; `F*(z) = ½ max(|z| − λ, 0)²`.

    Args:
        threshold: float. `λ ≥ 0`, in the unit of `z`; where it starts, if learnable.
            Defaults to 0.1.
        learnable: bool. Whether `λ`, one scalar kept non-negative, is trained. Defaults
            to False.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `threshold` is negative or not finite, or `learnable` is not a
            bool.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.SoftThreshold(1.0)(np.array([[-3.0, 0.5]])).numpy().tolist()
    [[-2.0, 0.0]]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return z - clip(z, -threshold, threshold)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return 0.5 * ops.square(ops.relu(ops.abs(z) - threshold))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return self._threshold(x, parameters) * ops.abs(x)

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        threshold = step * self._threshold(v, parameters)
        return v - clip(v, -threshold, threshold)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return d - clip_difference(z, d, -threshold, threshold)
