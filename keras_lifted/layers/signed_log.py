"""The signed logarithm as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.formulas import one_plus_x_log
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SignedLog(ProximalActivation):
    """`σ(z) = sign(z) log(1 + |z|)`.

    `Ψ(x) = e^|x| − |x| − 1 − x²/2`; `F*(z) = (1 + |z|) log(1 + |z|) − |z|`. `prox` is
    solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.SignedLog()(np.array([[0.0]])).numpy().tolist()
    [[0.0]]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.sigma(u), 1.0 / (1.0 + ops.abs(u))

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.sign(z) * ops.log1p(ops.abs(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(z)
        return one_plus_x_log(size) - size

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(x)
        return ops.expm1(size) - size - 0.5 * ops.square(x)

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        smaller = ops.minimum(ops.abs(a), ops.abs(b))
        same = ops.sign(d) * ops.log1p(ops.abs(d) / (1.0 + smaller))
        return ops.where(a * b >= 0, same, self.sigma(a) - self.sigma(b))
