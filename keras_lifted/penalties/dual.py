"""What penalties share whose coordinate is the dual variable."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.layers.base import sum_per_sample
from keras_lifted.layers.map import NEAR
from keras_lifted.layers.map import ProximalMap
from keras_lifted.penalties.base import Penalty

Tensor = Any


class DualPenalty(Penalty):
    """`F(x) − ⟨x, z⟩` and terms in z alone; the coordinate is the dual of `x = σ(v)`.

    The terms in z are `F*(z)` unless a subclass adds others, in `z_terms`, to
    which its `z_gradient` and `parameter_value` must add their part.
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
