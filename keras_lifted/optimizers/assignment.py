"""Which block moves which variable."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.checks import check_names
from keras_lifted.geometries.choice import geometry_of
from keras_lifted.geometries.spectral import Spectral
from keras_lifted.lifting.affine import find_affine
from keras_lifted.lifting.affine import find_matrices
from keras_lifted.optimizers.matrix_block import MatrixBlock
from keras_lifted.optimizers.weight_block import WeightBlock

Block = WeightBlock | MatrixBlock


@dataclasses.dataclass(frozen=True)
class Assignment:
    """Blocks of kernels with their biases, and the variables of no block.

    Attributes:
        weight_blocks: of affine layers.
        matrix_blocks: of other layers with kernels that are matrices.
        blocks: place of a variable among the trainable ones -> its block, and
            whether it is the kernel.
        rest: place -> every other variable.
    """

    weight_blocks: list[WeightBlock] = dataclasses.field(default_factory=list)
    matrix_blocks: list[MatrixBlock] = dataclasses.field(default_factory=list)
    blocks: dict[int, tuple[Block, bool]] = dataclasses.field(default_factory=dict)
    rest: dict[int, keras.Variable] = dataclasses.field(default_factory=dict)

    @classmethod
    def build(
        cls,
        optimizer: keras.optimizers.Optimizer,
        model: keras.Model | None,
        variables: Sequence[keras.Variable],
        geometry: Any,
        decay: float,
    ) -> Assignment:
        """Find the blocks of a model and add their state to `optimizer`.

        Args:
            optimizer: keeps momentum, moments and factors of every kernel.
            model: whose layers these are; without one there are none.
            variables: all that are trainable.
            geometry: of the steps, or "auto", or a dict by layer name.
            decay: of the running moments of the layers' inputs.

        Raises:
            ValueError: if a geometry is for a layer that there is not.
        """
        affine = find_affine(model) if model is not None else []
        if model is not None:
            check_names(
                geometry,
                [each.name for each in affine],
                "Geometries are keyed by layer name",
                "The layers whose kernels take proximal steps",
            )
        built = cls(
            [
                WeightBlock.build(
                    optimizer, each, geometry_of(each.name, geometry), decay
                )
                for each in affine
            ],
            [
                MatrixBlock.build(optimizer, each)
                for each in (find_matrices(model) if model is not None else [])
            ],
        )
        place = {id(v): i for i, v in enumerate(variables)}
        for block, kernel, bias in built:
            built.blocks[place[id(kernel)]] = block, True
            if bias is not None:
                built.blocks[place[id(bias)]] = block, False
        others = {i: v for i, v in enumerate(variables) if i not in built.blocks}
        built.rest.update(others)
        return built

    def __iter__(
        self,
    ) -> Iterator[tuple[Block, keras.Variable, keras.Variable | None]]:
        """Every block, with its kernel and bias."""
        for block in self.weight_blocks:
            yield block, block.affine.kernel, block.affine.bias
        for matrix in self.matrix_blocks:
            yield matrix, matrix.matrices.kernel, matrix.matrices.bias

    def signal(self, block: Block) -> Any:
        """The signal's share in a block's gradients, `()`; None where none is known.

        That of a matrix block is taken to be the mean of the weight blocks' shares.
        """
        if isinstance(block, WeightBlock):
            return block.signal.share
        shares = [each.signal.share for each in self.weight_blocks]
        return sum(shares) / len(shares) if shares else None

    @property
    def kernels(self) -> int:
        """How many there are, every block of a stack one."""
        stacked = sum(each.matrices.count for each in self.matrix_blocks)
        return len(self.weight_blocks) + stacked

    def geometries(self) -> dict[str, str]:
        """`{path of the variable: geometry}` of all variables of blocks."""
        chosen: dict[str, str] = {}
        for block, kernel, bias in self:
            name = Spectral.__name__
            if isinstance(block, WeightBlock):
                name = type(block.geometry).__name__
            chosen |= {v.path: name for v in (kernel, bias) if v is not None}
        return chosen
