"""Hard tanh (a clip) as a proximal activation."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import clip
from keras_lifted.layers.formulas import clip_difference
from keras_lifted.layers.precision import Tensor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class HardTanh(ProximalActivation):
    """`σ(z) = min(max(z, a), b)`, the projection onto `[a, b]`.

    `Ψ(x) = 0` on `[a, b]`, +∞ elsewhere; `F*(z) = z σ(z) − ½ σ(z)²`.

    Args:
        min_value: float. The lower end `a`. Defaults to -1.0.
        max_value: float. The upper end `b`, greater than `a`. Defaults to 1.0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If an end is not finite, or `max_value <= min_value`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.HardTanh()(np.array([[-3.0, 0.5, 2.0]])).numpy().tolist()
    [[-1.0, 0.5, 1.0]]
    """

    def __init__(
        self, min_value: float = -1.0, max_value: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.min_value, self.max_value = checks.interval(
            "HardTanh",
            ("min_value", min_value),
            ("max_value", max_value),
            "pass -1.0",
        )

    @property
    def bent_at_zero(self) -> bool:  # type: ignore[override]
        """Whether it is clipped at zero, as ReLU6 is."""
        return self.min_value == 0

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "min_value": self.min_value,
            "max_value": self.max_value,
        }

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return clip(z, self.min_value, self.max_value)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        s = self.sigma(z)
        return s * (z - 0.5 * s)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(
            (x >= self.min_value) & (x <= self.max_value), ops.zeros_like(x)
        )

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return self.sigma(v)

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return clip_difference(z, d, self.min_value, self.max_value)
