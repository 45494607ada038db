"""Activations with one threshold, fixed or learned."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.precision import Tensor


class Thresholded(ProximalActivation):
    """A proximal activation with the parameter `λ ≥ 0`; see `SoftThreshold`."""

    def __init__(
        self, threshold: float = 0.1, learnable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.threshold = checks.non_negative(owner, "threshold", threshold)
        self.learnable = checks.flag(owner, "learnable", learnable)
        self.threshold_weight = None
        if self.learnable:
            self.threshold_weight = self.add_weight(
                name="threshold",
                shape=(),
                initializer=keras.initializers.Constant(self.threshold),
                constraint="non_neg",
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "learnable": self.learnable,
        }

    def parameters(self) -> tuple[Tensor, ...]:
        if self.threshold_weight is None:
            return ()
        return (ops.copy(self.threshold_weight),)  # a tensor, in eager TensorFlow too

    def _threshold(self, like: Tensor, parameters: tuple[Tensor, ...]) -> Any:
        return ops.cast(parameters[0], like.dtype) if parameters else self.threshold
