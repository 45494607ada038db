"""The projection onto a Euclidean ball."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.domain import tolerance
from keras_lifted.layers.norms import norm
from keras_lifted.layers.norms import shrink_difference
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class L2BallProjection(ProximalActivation):
    """`σ(z) = z · min(1, r/‖z‖₂)`.

    `Ψ(x) = 0` for `‖x‖₂ ≤ r`, +∞ elsewhere; `F*(z) = ½‖z‖² − ½ max(‖z‖ − r, 0)²`. The
    norm of `x` may exceed `r` by rounding: 5e-3 of `r`, or 1e-5 of it in float64.

    Args:
        radius: float. `r > 0`, in the unit of `z`. Defaults to 1.0.
        axis: int or tuple. The axis or axes over which the norm is taken; None for the
            whole sample. Defaults to -1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `radius` is not positive and finite, or a sample has no such
            `axis`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.L2BallProjection(2.5)(np.array([[3.0, 4.0]])).numpy().tolist()
    [[1.5, 2.0]]
    """

    separable = False

    def __init__(
        self,
        radius: float = 1.0,
        axis: int | tuple[int, ...] | None = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.radius = checks.positive("L2BallProjection", "radius", radius)
        self.axis = checks.axes("L2BallProjection", axis)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "radius": self.radius, "axis": self.axis}

    def _at_least_radius(self, z: Tensor) -> Tensor:
        return ops.maximum(norm(z, self.axis), self.radius)

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return z * ops.minimum(1.0, self.radius / self._at_least_radius(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        length = norm(z, self.axis)
        return ops.where(
            length <= self.radius,
            0.5 * ops.square(length),
            self.radius * (length - 0.5 * self.radius),
        )

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        inside = norm(x, self.axis) <= self.radius * (1.0 + tolerance(x))
        return restrict(inside, ops.zeros_like(x))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return self.sigma(v)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return d - shrink_difference(z, d, self.radius, self.axis)
