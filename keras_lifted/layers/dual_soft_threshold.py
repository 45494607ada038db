"""The proximal map that is dual to the soft threshold."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import clip
from keras_lifted.layers.formulas import clip_difference
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.thresholded import Thresholded


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class DualSoftThreshold(Thresholded):
    """`σ(z) = min(max(z, −λ), λ)`, what the soft threshold takes away from `z`.

    The proximal map of the conjugate of `λ‖·‖₁`, for every step. `Ψ(x) = 0` for
    `|x| ≤ λ`, +∞ elsewhere; `F*(z) = z σ(z) − ½ σ(z)²`.

    Args:
        threshold: float. `λ ≥ 0`, in the unit of `z`; where it starts, if learnable.
            Defaults to 0.1.
        learnable: bool. Whether `λ`, one scalar kept non-negative, is trained. Defaults
            to False.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `threshold` is negative or not finite, or `learnable` is not a
            bool.

    Source: Wang, Benning & Repetti, arXiv 2408.08742; Combettes & Pesquet, "Deep
    neural network structures solving variational inequalities", 2020, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.DualSoftThreshold(1.0)(np.array([[-3.0, 0.5]])).numpy().tolist()
    [[-1.0, 0.5]]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return clip(z, -threshold, threshold)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        s = self.sigma(z, *parameters)
        return s * (z - 0.5 * s)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        inside = ops.abs(x) <= self._threshold(x, parameters)
        return restrict(inside, ops.zeros_like(x))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return self.sigma(v, *parameters)

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return clip_difference(z, d, -threshold, threshold)
