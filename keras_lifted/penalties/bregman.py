"""The Bregman penalty."""

from typing import Any

import keras
from keras import ops

from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.map import NEAR, ProximalMap
from keras_lifted.penalties.base import Penalty

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_lifted")
class Bregman(Penalty):
    """`P(x, z) = F(x) + F*(z) − ⟨x, z⟩`, with `∂P/∂z = σ(z) − x`.

    The activation is never differentiated. The coordinate is the dual variable `v`,
    `x = σ(v)`, in which `P = F*(z) − F*(v) − ⟨σ(v), z − v⟩`.

    Args:
        weight: float or dict. As for `Penalty`. Defaults to None.

    Raises:
        ValueError: If a weight is not positive.

    Source: Wang & Benning, "Lifted Bregman training of neural networks",
    JMLR 24(232), 2023, eq. (8).

    Example:

    >>> import keras_lifted as kl
    >>> kl.penalties.Bregman(weight=10.0).weight
    10.0
    """

    def origin(self, sigma: ProximalMap, z: Tensor) -> Tensor:
        return z

    def point(self, sigma: ProximalMap, s: Tensor) -> Tensor:
        return sigma(s)

    def value(self, sigma: ProximalMap, s: Tensor, z: Tensor) -> Tensor:
        return sigma.bregman(s, z)

    def z_gradient(self, sigma: ProximalMap, z: Tensor, d: Tensor) -> Tensor:
        return sigma.difference(z, d)

    def parameter_value(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, d: Tensor
    ) -> Tensor:
        # Of F*(z) − F*(s), the integral of ⟨d, ∂σ⟩ from s = z − d to z.
        near = 0.5 * sum_per_sample(ops.stop_gradient(d) * (sigma(z) + sigma(s)))
        axes = tuple(range(1, len(z.shape)))
        size, moved = (ops.max(ops.abs(each), axis=axes) for each in (z, d))
        return ops.where(moved <= NEAR * size, near, sigma.bregman(s, z))

    def proximal(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, step: Tensor
    ) -> Tensor:
        # It minimises F(x) + ½‖x − v‖²/step, and its subgradient of F is the new dual.
        v = sigma(s) - step * (q - z)
        x = sigma.prox(v / (1.0 + step), step / (1.0 + step))
        return (v - x) / step
