"""Softsign as a proximal activation."""

from __future__ import annotations

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Softsign(ProximalActivation):
    """`σ(z) = z/(1 + |z|)`.

    `Ψ(x) = −|x| − log(1 − |x|) − x²/2` on `|x| < 1`, +∞ elsewhere;
    `F*(z) = |z| − log(1 + |z|)`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.Softsign()(np.array([[-1.0, 3.0]])).numpy().tolist()
    [[-0.5, 0.75]]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return z / (1.0 + ops.abs(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(z)
        return size - ops.log1p(size)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(x)
        inside = size < 1
        log = ops.log1p(-ops.where(inside, size, 0.0))
        return restrict(inside, -size - log - 0.5 * ops.square(x))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        # u = σ⁻¹(x) > 0 solves step u² + (1 − |v|) u − |v| = 0, written in w = step u.
        size = ops.abs(v)
        half = 0.5 * (1.0 - size)
        root = ops.sqrt(ops.square(half) + step * size)
        w = ops.where(half > 0, step * size / (root + ops.abs(half)), root - half)
        return ops.sign(v) * w / (step + w)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        size_a, size_b = ops.abs(a), ops.abs(b)
        same = d / ((1.0 + size_a) * (1.0 + size_b))
        return ops.where(a * b >= 0, same, self.sigma(a) - self.sigma(b))
