"""What a penalty weighs in the energy: `c_i w`, and `w` chosen from the data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras import ops

from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.precision import lifted_real

Tensor = Any

# How far a chosen weight lets a sweep move a pre-activation, relative to its size.
DISPLACEMENT = 1e-5
# From how many samples a weight is chosen, and from about how many numbers.
ROWS, NUMBERS = (2, 8), 2**15


@dataclasses.dataclass(frozen=True)
class Scale:
    """The factor `c_i w` of one block.

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
        """Return `c_i w`, broadcast against `tensor`."""
        return self._c(tensor) * self.weight

    def chosen(self, q: Tensor, z: Tensor) -> Scale:
        """Return this with the weight that a sweep takes.

        `q` is the derivative of the energy in the output of the block, `z` its
        pre-activation.
        """
        if self.least is None:
            return self
        c = self._c(q)
        fewest, most = ROWS
        of_a_sample = math.prod(size or 1 for size in z.shape[1:])
        rows = min(max(NUMBERS // of_a_sample, fewest), most)
        q = lifted_real(q[:rows]) / (c[:rows] if len(c.shape) else c)
        size = DISPLACEMENT * ops.sum(ops.abs(lifted_real(z[:rows])))
        needed = ops.sum(ops.abs(q)) / ops.where(size == 0, float("inf"), size)
        weight = ops.where(
            self.weight >= self.least, ops.maximum(needed, self.least), self.weight
        )
        return dataclasses.replace(self, weight=weight)

    def _c(self, tensor: Tensor) -> Tensor:
        return per_sample(self.c, tensor) if len(self.c.shape) else self.c
