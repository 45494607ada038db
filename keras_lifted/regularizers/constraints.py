"""Constraints: indicator functions of convex sets."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.formulas import clip
from keras_lifted.layers.formulas import restrict
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class NonNegative(Regularizer):
    """`R(u) = 0` for `u ≥ 0`, +∞ elsewhere.

    Example:

    >>> import keras_lifted as kl
    >>> kl.regularizers.NonNegative()([[1.0], [-1.0]]).numpy().tolist()
    [0.0, inf]
    """

    constraint = True

    def __init__(self) -> None:
        super().__init__(1.0)

    def value(self, v: Tensor) -> Tensor:
        return sum_per_sample(restrict(v >= 0, ops.zeros_like(v)))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return ops.relu(v)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Box(Regularizer):
    """`R(u) = 0` for `low ≤ u ≤ high`, +∞ elsewhere.

    Args:
        low: float. The least value of a pixel. Defaults to 0.0.
        high: float. The greatest, more than `low`. Defaults to 1.0.

    Raises:
        ValueError: If an end is not finite, or `high <= low`.

    Example:

    >>> import keras_lifted as kl
    >>> kl.regularizers.Box(0.0, 1.0)([[1.0], [2.0]]).numpy().tolist()
    [0.0, inf]
    """

    constraint = True

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(1.0)
        self.low, self.high = checks.interval(
            "Box", ("low", low), ("high", high), "pass 0.0"
        )

    def value(self, v: Tensor) -> Tensor:
        inside = (v >= self.low) & (v <= self.high)
        return sum_per_sample(restrict(inside, ops.zeros_like(v)))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return clip(v, self.low, self.high)

    def conjugate(self, v: Tensor, factor: Tensor) -> Tensor:
        return self.support(v, factor)

    def support(self, v: Tensor, level: Tensor) -> Tensor:
        return sum_per_sample(ops.maximum(self.low * v, self.high * v))
