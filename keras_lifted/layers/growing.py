"""Smooth activations that grow without bound."""

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import Activation, Smooth
from keras_lifted.layers.dilogarithm import (
    dilogarithm_of_exp_less_zeta,
    minus_dilogarithm_of_minus_exp,
)
from keras_lifted.layers.formulas import (
    clip,
    exp_arsinh,
    hypotenuse,
    one_plus_x_log,
    relu_difference,
    restrict,
)
from keras_lifted.layers.precision import Tensor, wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Softplus(Smooth):
    """`σ(z) = log(1 + eᶻ)`.

    `Ψ(x) = Li₂(e⁻ˣ) − π²/6` on `x ≥ 0`, +∞ elsewhere; `F*(z) = −Li₂(−eᶻ)`.
    `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Softplus().potential([[0.0], [-1.0]])).tolist()
    [0.0, inf]
    """

    def slope(self, u: Tensor) -> Tensor:
        return ops.sigmoid(u)

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.softplus(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return minus_dilogarithm_of_minus_exp(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(x >= 0, dilogarithm_of_exp_less_zeta(x))

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        small = clip(d, -1.0, 1.0)
        near = -ops.log1p(ops.sigmoid(z) * ops.expm1(-small))
        # softplus(z) = max(z, 0) + softplus(−|z|)
        bends = ops.softplus(-ops.abs(z)) - ops.softplus(-ops.abs(z - d))
        return ops.where(ops.abs(d) <= 1, near, relu_difference(z, d) + bends)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class BentIdentity(Activation):
    """`σ(z) = ½(z + √(z² + 1) − 1)`, scaled to slopes in (0, 1).

    `Ψ(x) = x/2 − ¼ log(1 + 2x)` on `x > −½`, +∞ elsewhere;
    `F*(z) = ¼(z² + z√(z² + 1) + arsinh z) − z/2`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.BentIdentity()(np.array([[0.0]]))).tolist()
    [[0.0]]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * (exp_arsinh(z) - 1.0)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.25 * (z * exp_arsinh(z) + ops.arcsinh(z)) - 0.5 * z

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        inside = x > -0.5
        log = ops.log1p(2.0 * ops.where(inside, x, 0.0))
        return restrict(inside, 0.5 * x - 0.25 * log)

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        # y = 2x + 1 > 0 solves y² − (2v + 1 − step) y − step = 0.
        half = v + 0.5 * (1.0 - step)
        size = ops.abs(half)
        root = size + ops.sqrt(ops.square(half) + step)
        y = ops.where(half > 0, root, step / root)
        return 0.5 * (y - 1.0)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        slope = (a + b) / (hypotenuse(a) + hypotenuse(b))
        return 0.5 * d * (1.0 + slope)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SignedLog(Smooth):
    """`σ(z) = sign(z) log(1 + |z|)`.

    `Ψ(x) = e^|x| − |x| − 1 − x²/2`; `F*(z) = (1 + |z|) log(1 + |z|) − |z|`. `prox` is
    solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.SignedLog()(np.array([[0.0]]))).tolist()
    [[0.0]]
    """

    def slope(self, u: Tensor) -> Tensor:
        return 1.0 / (1.0 + ops.abs(u))

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.sign(z) * ops.log1p(ops.abs(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(z)
        return one_plus_x_log(size) - size

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(x)
        return ops.expm1(size) - size - 0.5 * ops.square(x)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        smaller = ops.minimum(ops.abs(a), ops.abs(b))
        same = ops.sign(d) * ops.log1p(ops.abs(d) / (1.0 + smaller))
        return ops.where(a * b >= 0, same, self.sigma(a) - self.sigma(b))
