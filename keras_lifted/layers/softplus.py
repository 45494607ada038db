"""Softplus as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.dilogarithm import dilogarithm_of_exp_less_zeta
from keras_lifted.layers.dilogarithm import minus_dilogarithm_of_minus_exp
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import clip
from keras_lifted.layers.formulas import relu_difference
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Softplus(ProximalActivation):
    """`σ(z) = log(1 + eᶻ)`.

    `Ψ(x) = Li₂(e⁻ˣ) − π²/6` on `x ≥ 0`, +∞ elsewhere; `F*(z) = −Li₂(−eᶻ)`.
    `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl
    >>> kl.layers.Softplus().potential([[0.0], [-1.0]]).numpy().tolist()
    [0.0, inf]
    """

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return ops.softplus(u), ops.sigmoid(u)

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.softplus(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return minus_dilogarithm_of_minus_exp(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(x >= 0, dilogarithm_of_exp_less_zeta(x))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        small = clip(d, -1.0, 1.0)
        near = -ops.log1p(ops.sigmoid(z) * ops.expm1(-small))
        # softplus(z) = max(z, 0) + softplus(−|z|)
        bends = ops.softplus(-ops.abs(z)) - ops.softplus(-ops.abs(z - d))
        return ops.where(ops.abs(d) <= 1, near, relu_difference(z, d) + bends)
