"""The logistic sigmoid as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import one_plus_x_log
from keras_lifted.layers.formulas import xlogx
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Sigmoid(ProximalActivation):
    """`σ(z) = 1/(1 + e⁻ᶻ)`.

    `Ψ(x) = x log x + (1−x) log(1−x) − x²/2` on `0 ≤ x ≤ 1`, +∞ elsewhere;
    `F*(z) = log(1 + eᶻ)`. `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.Sigmoid()(np.array([[0.0]])).numpy().tolist()
    [[0.5]]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        value = ops.sigmoid(u)
        return value, value * ops.sigmoid(-u)

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.sigmoid(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.softplus(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        terms = xlogx(x) + one_plus_x_log(-x) - 0.5 * ops.square(x)
        return restrict((x >= 0) & (x <= 1), terms)

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = ops.tanh(0.5 * z), ops.tanh(0.5 * (z - d))
        return 0.5 * ops.tanh(0.5 * d) * (1.0 - a * b)
