"""The projection onto the simplex (sparsemax)."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import on_simplex
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SimplexProjection(ProximalActivation):
    """`σ(z)` is the point of the simplex `{x ≥ 0, Σx = r}` nearest to `z`.

    `Ψ(x) = 0` on the simplex, +∞ elsewhere; `F*(z) = ⟨z, σ(z)⟩ − ½‖σ(z)‖²`. The sum
    of `x` may be off by rounding: 5e-3 of `r`, or 1e-5 of it in float64.

    Args:
        axis: int. The axis along which entries sum to `r`. Defaults to -1.
        radius: float. `r > 0`, in the unit of `z`. Defaults to 1.0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `radius` is not positive and finite, or a sample has no such
            `axis`.

    Source: Duchi et al., "Efficient projections onto the l1-ball", ICML 2008; Martins &
    Astudillo, "From softmax to sparsemax", ICML 2016.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.SimplexProjection()(np.array([[0.5, 0.0, -9.0]])).numpy().tolist()
    [[0.75, 0.25, 0.0]]
    """

    separable = False

    def __init__(self, axis: int = -1, radius: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checks.axis("SimplexProjection", axis)
        self.radius = checks.positive("SimplexProjection", "radius", radius)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "axis": self.axis, "radius": self.radius}

    def _shifted(self, z: Tensor) -> Tensor:
        """Return `z − θ`, whose positive part is the projection."""
        z = z - ops.max(z, axis=self.axis, keepdims=True)
        # Entries `r` below the largest are never in the support.
        z = ops.maximum(z, -self.radius)
        last = ops.moveaxis(z, self.axis, -1)
        falling = -ops.sort(-last, axis=-1)
        excess = ops.cumsum(falling, axis=-1) - self.radius
        rank = ops.arange(1, last.shape[-1] + 1, dtype=z.dtype)
        theta = ops.max(excess / rank, axis=-1, keepdims=True)
        return z - ops.moveaxis(theta, -1, self.axis)

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.relu(self._shifted(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        s = self.sigma(z)
        return s * (z - 0.5 * s)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(on_simplex(x, self.axis, self.radius), ops.zeros_like(x))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return self.sigma(v)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = self._shifted(z), self._shifted(z - d)
        support = a > 0
        here = ops.cast(support, z.dtype)
        count = ops.sum(here, axis=self.axis, keepdims=True)
        mean = ops.sum(here * d, axis=self.axis, keepdims=True) / count
        same = ops.all(support == (b > 0), axis=self.axis, keepdims=True)
        return ops.where(same, here * (d - mean), ops.relu(a) - ops.relu(b))
