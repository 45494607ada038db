"""How a batch of equal kernels, each with its bias, lies in one tensor.

A kernel that maps `inputs` channels at `sites` positions to `outputs` channels is the
matrix of `sites * inputs` rows and `outputs` columns; a dense kernel has one site. Its
bias is one more input at the first site. Wide sides are cut into tiles of one width,
the last one filled up with zeros.
"""

import dataclasses
from typing import Any

from keras import ops

Tensor = Any

# The widest tile. The cost of a refresh grows with the square of the width, that of a
# step and its memory linearly; twice as wide is worth 0.3 % on layers of 256, and costs
# twice the time.
WIDEST = 160


@dataclasses.dataclass(frozen=True)
class Layout:
    """Sizes of equal kernels, and where their entries lie.

    Attributes:
        count: int. The number of kernels.
        sites: int. The positions at which a kernel reads its inputs.
        inputs: int. The channels it reads at each.
        outputs: int. The channels it writes.
        biased: bool. Whether a bias is one more input.
    """

    count: int
    sites: int
    inputs: int
    outputs: int
    biased: bool

    @property
    def rows(self) -> tuple[int, int]:
        """The tiles of the inputs: how many, and how wide."""
        return _tiles(self.inputs + self.biased)

    @property
    def columns(self) -> tuple[int, int]:
        """The tiles of the outputs: how many, and how wide."""
        return _tiles(self.outputs)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Kernels, sites, inputs, outputs, both of the last with their filling."""
        (many, wide), (others, width) = self.rows, self.columns
        return self.count, self.sites, many * wide, others * width

    def join(self, kernels: Tensor, biases: Tensor | None) -> Tensor:
        """Return one tensor of `shape`.

        Args:
            kernels: tensor. Of shape `(count, sites, inputs, outputs)`.
            biases: tensor. Of shape `(count, outputs)`, or None without biases.
        """
        _, sites, height, width = self.shape
        if biases is not None:
            row = ops.expand_dims(ops.expand_dims(biases, 1), 1)
            row = ops.pad(row, ((0, 0), (0, sites - 1), (0, 0), (0, 0)))
            kernels = ops.concatenate([kernels, row], axis=2)
        more = height - self.inputs - self.biased, width - self.outputs
        if any(more):
            kernels = ops.pad(kernels, ((0, 0), (0, 0), (0, more[0]), (0, more[1])))
        return kernels

    def split(self, joined: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return kernels and biases; the inverse of `join`."""
        kernels = joined[:, :, : self.inputs, : self.outputs]
        if not self.biased:
            return kernels, None
        return kernels, joined[:, 0, self.inputs, : self.outputs]


def _tiles(side: int) -> tuple[int, int]:
    many = -(-side // WIDEST)
    return many, -(-side // many)
