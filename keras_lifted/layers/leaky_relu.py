"""Leaky ReLU as a proximal activation."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.formulas import relu_difference
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class LeakyReLU(ProximalActivation):
    """`σ(z) = z` for `z > 0`, else `a z`, with the slope `0 < a ≤ 1`.

    `Ψ(x) = 0` for `x > 0`, else `(1/a − 1) x²/2`; `F*(z) = ½ z σ(z)`.

    Args:
        negative_slope: float. The slope `a` of the negative part, in (0, 1]. Defaults
            to 0.2.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `negative_slope` is not in (0, 1].

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.LeakyReLU(0.5)(np.array([[-1.0, 2.0]])).numpy().tolist()
    [[-0.5, 2.0]]
    """

    bent_at_zero = True

    def __init__(self, negative_slope: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative_slope = checks.number(
            "LeakyReLU",
            "negative_slope",
            negative_slope,
            lambda slope: 0 < slope <= 1,
            "in (0, 1]",
            "other slopes make it no proximal map, and 0 is ReLU()",
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "negative_slope": self.negative_slope}

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.maximum(z, self.negative_slope * z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * z * self.sigma(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return (0.5 / self.negative_slope - 0.5) * ops.square(ops.minimum(x, 0.0))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        slope = self.negative_slope
        return ops.where(v > 0, v, v * (slope / (slope + step * (1.0 - slope))))

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        slope = self.negative_slope
        return slope * d + (1.0 - slope) * relu_difference(z, d)
