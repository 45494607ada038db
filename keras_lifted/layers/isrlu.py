"""The inverse square root linear unit as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import hypotenuse
from keras_lifted.layers.formulas import hypotenuse_less_one
from keras_lifted.layers.formulas import isru
from keras_lifted.layers.formulas import isru_potential
from keras_lifted.layers.formulas import isru_same_sign_difference
from keras_lifted.layers.formulas import relu_difference
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ISRLU(ProximalActivation):
    """`σ(z) = z` for `z ≥ 0`, else `z/√(1 + z²)`.

    `Ψ(x) = 0` for `x ≥ 0`, `1 − x²/2 − √(1 − x²)` for `−1 ≤ x < 0`, +∞ elsewhere;
    `F*(z) = z²/2` for `z ≥ 0`, else `√(1 + z²) − 1`. `prox` is solved by Newton's
    method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.ISRLU()(np.array([[2.0, 0.0]])).numpy().tolist()
    [[2.0, 0.0]]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        root = hypotenuse(ops.minimum(u, 0.0))
        return u / root, 1.0 / root / root / root

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.where(z >= 0, z, isru(ops.minimum(z, 0.0)))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        bent = hypotenuse_less_one(ops.minimum(z, 0.0))
        return ops.where(z >= 0, 0.5 * ops.square(z), bent)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(x >= -1, isru_potential(ops.minimum(x, 0.0)))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        positive = relu_difference(z, d)
        a, b = ops.minimum(z, 0.0), ops.minimum(z - d, 0.0)
        return positive + isru_same_sign_difference(a, b, d - positive)
