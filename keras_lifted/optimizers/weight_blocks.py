"""Weight blocks and their implicit steps."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import solve
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.affine import Affine

Tensor = Any

# Added to a covariance of mean eigenvalue 1.
DAMPING = 0.01


@dataclasses.dataclass(frozen=True)
class WeightBlock:
    """A kernel with its bias, or any other variable.

    Attributes:
        place: int. The variable's place among the trainable ones.
        bias: int. That of its bias, or None.
        gram: tensor. `AᵀA` of the inputs `A`, `(n, n)`; None for the identity.
    """

    place: int
    bias: int | None = None
    gram: Tensor | None = None

    def join(self, values: Sequence[Tensor]) -> Tensor:
        """Return kernel and bias as one matrix, other variables as a column."""
        value = lifted_real(values[self.place])
        if self.gram is None:
            return ops.reshape(value, (-1, 1))
        rows = self.gram.shape[0] - (self.bias is not None)
        joint = ops.reshape(value, (rows, -1))
        if self.bias is None:
            return joint
        bias = ops.reshape(lifted_real(values[self.bias]), (1, -1))
        return ops.concatenate([joint, bias], axis=0)

    def split(self, joint: Tensor) -> dict[int, Tensor]:
        """Return the parts of a joint matrix by place, flat."""
        if self.bias is None:
            return {self.place: ops.reshape(joint, (-1,))}
        return {self.place: ops.reshape(joint[:-1], (-1,)), self.bias: joint[-1]}

    def square(self, step: Tensor) -> Tensor:
        """Return `‖A step‖²`."""
        through = step if self.gram is None else ops.matmul(self.gram, step)
        return ops.sum(step * through)

    def direction(
        self, slope: Tensor, curvature: Tensor, rate: Tensor, geometry: str
    ) -> Tensor:
        """Return `(S + τ h AᵀA)⁻¹ G`, the implicit step over `τ`.

        `S` is the identity ("frobenius"), or `AᵀA` of mean eigenvalue 1 ("covariance").
        """
        if self.gram is None:
            return slope / (1.0 + rate * curvature)
        n = self.gram.shape[0]
        norm = ops.eye(n, dtype=self.gram.dtype)
        if geometry == "covariance":
            mean = ops.trace(self.gram) / n + 1e-30
            norm = DAMPING * norm + self.gram / mean
        return solve(norm + rate * curvature * self.gram, slope)


def weight_blocks(
    layers: Sequence[Affine],
    grams: Sequence[Tensor | None],
    variables: Sequence[keras.Variable],
) -> list[WeightBlock]:
    """Return the blocks of all variables, first those of layers that were called."""
    place = {id(variable): i for i, variable in enumerate(variables)}
    blocks = [
        WeightBlock(
            place[id(layer.kernel)],
            None if layer.bias is None else place[id(layer.bias)],
            gram,
        )
        for layer, gram in zip(layers, grams, strict=True)
        if gram is not None
    ]
    taken = {each for block in blocks for each in (block.place, block.bias)}
    others = [WeightBlock(i) for i in range(len(variables)) if i not in taken]
    return [*blocks, *others]
