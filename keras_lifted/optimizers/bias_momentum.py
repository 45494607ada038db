"""The running mean of a bias's gradients: it moves with its kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.momentum import average
from keras_lifted.layers.precision import lifted_real

Tensor = Any


@dataclasses.dataclass(frozen=True)
class BiasMomentum:
    """What a block remembers of its bias between gradient and step.

    Attributes:
        mean: of the gradients.
        ahead: the same, looking ahead.
    """

    mean: keras.Variable
    ahead: keras.Variable

    @classmethod
    def build(
        cls,
        add: Callable[[str, tuple[int, ...]], keras.Variable],
        shape: tuple[int, ...],
    ) -> BiasMomentum:
        """The variables from `add(name, shape)`."""
        return cls(add("bias_momentum", shape), add("bias_ahead", shape))

    def take_in(self, gradient: Tensor, keep: Tensor) -> None:
        """Take in the gradient of a batch."""
        gradient = ops.reshape(lifted_real(gradient), self.mean.shape)
        self.ahead.assign(average(self.mean, gradient, keep))
