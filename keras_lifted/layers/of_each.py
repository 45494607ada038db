"""Regularizers and constraints of blocks whose weights lie in one variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import batched

Tensor = Any


def _of_each(function: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    """Return `function` of every slice of the first axis."""
    return batched(function, (ops.convert_to_tensor(value),))


class RegularizerOfEach(keras.regularizers.Regularizer):
    """The sum of a regularizer over the blocks."""

    def __init__(self, each: Callable[[Tensor], Tensor]) -> None:
        self.each = each

    def __call__(self, value: Tensor) -> Tensor:
        return ops.sum(_of_each(self.each, value))


class ConstraintOfEach(keras.constraints.Constraint):
    """A constraint on every block."""

    def __init__(self, each: Callable[[Tensor], Tensor]) -> None:
        self.each = each

    def __call__(self, value: Tensor) -> Tensor:
        return _of_each(self.each, value)
