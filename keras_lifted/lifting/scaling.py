"""What a penalty weighs in the energy: `c_i w`, and `w` chosen from the data."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.precision import lifted_real

Tensor = Any

# How far a chosen weight lets a sweep move a pre-activation, relative to its size.
DISPLACEMENT = 1e-5
# Samples from which a weight is chosen.
ROWS = 8


@dataclasses.dataclass(frozen=True)
class Scale:
    """`c_i w` of one block.

    Attributes:
        c: weight of the samples in the loss, one number or `(batch,)`.
        weight: the penalty weight `w` that was given, or that the state holds.
        least: None to take `weight` as it is. Else a weight that is at least this
            large is chosen from the data: as small as this, but no smaller than
            `mean|q| / (1e-5 · mean|z|)`, `q` the derivative of the loss of a sample
            in the output of the block. Then the step `q/w` is a small part of `z`
            whatever the units of the loss and of the inputs.
    """

    c: Tensor
    weight: Tensor
    least: float | None = None

    def like(self, tensor: Tensor) -> Tensor:
        """`c_i w`, broadcast against `tensor`."""
        return self._c(tensor) * self.weight

    def chosen(self, q: Tensor, z: Tensor) -> Scale:
        """This with the weight that a sweep takes.

        Args:
            q: derivative of the energy in the output of the block.
            z: its pre-activation.
        """
        if self.least is None:
            return self
        q, z = lifted_real(q), lifted_real(z)
        q = (q / self._c(q))[:ROWS]
        size = DISPLACEMENT * ops.mean(ops.abs(z[:ROWS]))
        zero = size == 0
        needed = ops.mean(ops.abs(q)) / ops.where(zero, 1.0, size)
        needed = ops.where(zero, 0.0, needed)
        weight = ops.where(
            self.weight >= self.least, ops.maximum(needed, self.least), self.weight
        )
        return dataclasses.replace(self, weight=weight)

    def _c(self, tensor: Tensor) -> Tensor:
        return per_sample(self.c, tensor) if len(self.c.shape) else self.c
