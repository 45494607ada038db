"""The identity, whose potential is zero."""

from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.precision import Tensor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Identity(ProximalActivation):
    """`σ(z) = z`, for a block that only maps linearly.

    `Ψ(x) = 0`; `F*(z) = ½ z²`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl
    >>> kl.layers.Identity().conjugate([[2.0, 1.0]]).numpy().tolist()
    [2.5]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return z

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * ops.square(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return ops.zeros_like(x)

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return v

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return d + ops.zeros_like(z)
