"""ReLU as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import relu_difference
from keras_lifted.layers.precision import Tensor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ReLU(ProximalActivation):
    """`σ(z) = max(z, 0)`, the projection onto the non-negative orthant.

    `Ψ(x) = 0` on `x ≥ 0`, +∞ elsewhere; `F*(z) = ½ max(z, 0)²`.

    Source: Wang & Benning, JMLR 24(232), 2023.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.ReLU()(np.array([[-1.0, 2.0]])).numpy().tolist()
    [[0.0, 2.0]]
    """

    bent_at_zero = True

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.relu(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * ops.square(ops.relu(z))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(x >= 0, ops.zeros_like(x))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return ops.relu(v)

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return relu_difference(z, d)
