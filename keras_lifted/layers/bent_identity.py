"""The bent identity as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import exp_arsinh
from keras_lifted.layers.formulas import hypotenuse
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class BentIdentity(ProximalActivation):
    """`σ(z) = ½(z + √(z² + 1) − 1)`, scaled to slopes in (0, 1).

    `Ψ(x) = x/2 − ¼ log(1 + 2x)` on `x > −½`, +∞ elsewhere;
    `F*(z) = ¼(z² + z√(z² + 1) + arsinh z) − z/2`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.BentIdentity()(np.array([[0.0]])).numpy().tolist()
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
