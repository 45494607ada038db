"""The scaled arctangent as a proximal activation."""

from __future__ import annotations

import math
from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import hypotenuse
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Arctan(ProximalActivation):
    """`σ(z) = (2/π) arctan z`.

    `Ψ(x) = −(2/π) log cos(πx/2) − x²/2` on `|x| < 1`, +∞ elsewhere;
    `F*(z) = (2/π)(z arctan z − ½ log(1 + z²))`. `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.Arctan()(np.array([[1.0]])).numpy().tolist()
    [[0.5]]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        root = hypotenuse(u)
        return self.sigma(u), (2.0 / math.pi) / root / root

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return (2.0 / math.pi) * ops.arctan(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return (2.0 / math.pi) * (z * ops.arctan(z) - ops.log(hypotenuse(z)))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(x)
        inside = size < 1
        # cos(π|x|/2), accurate where it is small
        cosine = ops.sin((0.5 * math.pi) * (1.0 - ops.where(inside, size, 0.0)))
        return restrict(
            inside, (-2.0 / math.pi) * ops.log(cosine) - 0.5 * ops.square(x)
        )

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return (2.0 / math.pi) * ops.arctan2(d, 1.0 + z * (z - d))
