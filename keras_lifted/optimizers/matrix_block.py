"""A kernel that is a matrix, of a layer whose inputs say little about it."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.refresh import Due
from keras_lifted.geometries.spectral import steepest
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
from keras_lifted.optimizers.promise import unbiased
from keras_lifted.optimizers.weight_block import average
from keras_lifted.optimizers.weight_block import subtract

Tensor = Any


@dataclasses.dataclass(frozen=True)
class MatrixBlock:
    """State of one kernel that takes steps in the spectral norm.

    Attributes:
        kernel: whose last axis are the columns of the matrix.
        momentum: of its gradient, `(n, m)`.
        decrease: of the loss, that a whole step promised when the last one was
            taken, `()`.
    """

    kernel: keras.Variable
    momentum: keras.Variable
    decrease: keras.Variable

    @classmethod
    def build(
        cls, optimizer: keras.optimizers.Optimizer, layer: keras.layers.Layer
    ) -> MatrixBlock:
        """Add the variables to `optimizer`."""

        def add(name: str, shape: tuple[int, ...]) -> keras.Variable:
            return optimizer.add_variable(
                shape,
                dtype=real_dtype(),
                aggregation="mean",
                name=f"{layer.name}_{name}",
            )

        *rows, columns = layer.kernel.shape
        momentum = add("kernel_momentum", (math.prod(rows), columns))
        return cls(layer.kernel, momentum, add("decrease", ()))

    def step(
        self, gradient: Tensor, rate: Tensor, part: Tensor, momentum: float, due: Due
    ) -> None:
        """Move the kernel by the `part` of a step of length `rate`."""
        matrix = ops.reshape(lifted_real(gradient), self.momentum.shape)
        average(self.momentum, matrix, momentum)
        slope = ops.convert_to_tensor(self.momentum)
        whole = ops.cast(rate, slope.dtype) * steepest(slope)
        promised = ops.sum(slope * whole)
        self.decrease.assign(unbiased(promised, momentum, due.taken))
        subtract(self.kernel, part, whole)
