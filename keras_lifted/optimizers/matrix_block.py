"""Kernels that are matrices, of layers whose inputs say little about them."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.momentum import average
from keras_lifted.geometries.spectral import Spectral
from keras_lifted.geometries.spectral import steepest
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.affine import Matrices
from keras_lifted.optimizers.bias_momentum import BiasMomentum
from keras_lifted.optimizers.weight_block import subtract

Tensor = Any

# So many matrices whose outputs add up move as those of other layers; more of them
# share the step of so many.
SHARED = 16


@dataclasses.dataclass(frozen=True)
class MatrixBlock:
    """State of one kernel, or of those of a stack, with steps in the spectral norm.

    A bias is one more row of its matrix. The branches of a residual stack add up, and
    so do their changes: more than 16 of them share the step of 16.

    Attributes:
        matrices: the kernel and its bias.
        kernel_momentum: mean of the kernel's gradients, `(n, m)` or `(depth, n, m)`.
        bias: the same of the bias's, `(m,)` or `(depth, m)`, or None.
        decrease: of the loss, that counts of what a whole step promised when the
            last one was taken, `()`.
    """

    matrices: Matrices
    kernel_momentum: keras.Variable
    bias: BiasMomentum | None
    decrease: keras.Variable

    @classmethod
    def build(
        cls, optimizer: keras.optimizers.Optimizer, matrices: Matrices
    ) -> MatrixBlock:
        """Add the variables to `optimizer`."""

        def add(name: str, shape: tuple[int, ...]) -> keras.Variable:
            return optimizer.add_variable(
                shape,
                dtype=real_dtype(),
                aggregation="mean",
                name=f"{matrices.name}_{name}",
            )

        bias = matrices.bias
        return cls(
            matrices,
            add("kernel_momentum", matrices.shape),
            None if bias is None else BiasMomentum.build(add, tuple(bias.shape)),
            add("decrease", ()),
        )

    @property
    def share(self) -> float:
        """Part of a step of the learning rate that each matrix takes."""
        matrices = self.matrices
        return min(1.0, SHARED / matrices.count) if matrices.added else 1.0

    def step(self, gradient: Tensor, rate: Tensor, part: Tensor, keep: Tensor) -> None:
        """Move kernel and bias by the `part` of a step of length `rate`."""
        kernel, bias = self.matrices.kernel, self.matrices.bias
        gradient = ops.reshape(lifted_real(gradient), self.matrices.shape)
        slope = average(self.kernel_momentum, gradient, keep)
        if self.bias is not None:
            row = ops.expand_dims(self.bias.ahead, -2)
            slope = ops.concatenate([slope, row], axis=-2)
        whole = self.share * ops.cast(rate, slope.dtype) * steepest(slope)
        self.decrease.assign(Spectral.counted * ops.sum(slope * whole))
        if bias is not None:
            subtract(bias, part, whole[..., -1, :])
            whole = whole[..., :-1, :]
        subtract(kernel, part, whole)
