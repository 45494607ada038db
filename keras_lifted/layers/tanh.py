"""Tanh as a proximal activation."""

from __future__ import annotations

import math
from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import one_plus_x_log
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Tanh(ProximalActivation):
    """`σ(z) = tanh z`.

    `Ψ(x) = ½(1+x)log(1+x) + ½(1−x)log(1−x) − x²/2` on `|x| ≤ 1`, +∞ elsewhere;
    `F*(z) = log cosh z`. `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl
    >>> kl.layers.Tanh().conjugate([[0.0]]).numpy().tolist()
    [0.0]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        value = ops.tanh(u)
        return value, 1.0 - ops.square(value)

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.tanh(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(z)
        return size + (ops.softplus(-2.0 * size) - math.log(2.0))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        terms = 0.5 * (one_plus_x_log(x) + one_plus_x_log(-x) - ops.square(x))
        return restrict(ops.abs(x) <= 1, terms)

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return ops.tanh(d) * (1.0 - ops.tanh(z) * ops.tanh(z - d))
