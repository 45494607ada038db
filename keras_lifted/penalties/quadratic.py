"""The quadratic penalty of the method of auxiliary coordinates."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.backend import vector_jacobian
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.penalties.base import Penalty

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Quadratic(Penalty):
    """`P(x, z) = ½‖x − σ(z)‖²`, with `∂P/∂z = σ'(z)ᵀ(σ(z) − x)`.

    It is that of the method of auxiliary coordinates (MAC), and differentiates the
    activation: one sweep of it *is* backpropagation, for every weight. It needs no
    proximal map, so every activation of a model is lifted, GELU and SiLU as well.

    Args:
        weight: float or dict. As for `Penalty`. Defaults to None.

    Raises:
        ValueError: If a weight is not positive.

    Source: Carreira-Perpiñán & Wang, arXiv 1212.5921, eq. (3).

    Example:

    >>> import keras_lifted as kl
    >>> kl.penalties.Quadratic(weight={"default": 1.0}).weight_of("relu")
    1.0
    """

    needs_proximal = False

    def value(self, sigma: ProximalMap, s: Tensor, z: Tensor) -> Tensor:
        return 0.5 * sum_per_sample(ops.square(sigma(z) - s))

    def z_gradient(self, sigma: ProximalMap, z: Tensor, d: Tensor) -> Tensor:
        return vector_jacobian(sigma, z, d)

    def parameter_value(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, d: Tensor
    ) -> Tensor:
        return sum_per_sample(ops.stop_gradient(d) * sigma(z))

    def proximal(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, step: Tensor
    ) -> Tensor:
        return (s + step * (sigma(z) - q)) / (1.0 + step)
