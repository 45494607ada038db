"""The inverse square root unit as a proximal activation."""

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
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ISRU(ProximalActivation):
    """`σ(z) = z/√(1 + z²)`.

    `Ψ(x) = 1 − x²/2 − √(1 − x²)` on `|x| ≤ 1`, +∞ elsewhere; `F*(z) = √(1 + z²) − 1`.
    `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl
    >>> kl.layers.ISRU().conjugate([[0.0]]).numpy().tolist()
    [0.0]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        root = hypotenuse(u)
        return u / root, 1.0 / root / root / root

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return isru(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return hypotenuse_less_one(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(ops.abs(x) <= 1, isru_potential(x))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        same = isru_same_sign_difference(a, b, d)
        return ops.where(a * b >= 0, same, isru(a) - isru(b))
