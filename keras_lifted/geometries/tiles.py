"""Second moments of wide layers, kept as square tiles on the diagonal."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Tiles:
    """`size` coordinates in equal groups of at most `widest`.

    Up to `widest` there is one tile, the whole matrix. Above, correlations
    between groups are dropped: memory `size·widest` and time `size·widest²`.

    Attributes:
        size: number of coordinates.
        widest: largest side of a tile.
    """

    size: int
    widest: int

    @property
    def count(self) -> int:
        """Number of tiles."""
        return -(-self.size // self.widest)

    @property
    def side(self) -> int:
        """Side of each tile; the last one is padded with zeros."""
        return -(-self.size // self.count)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of all tiles, `(count, side, side)`."""
        return self.count, self.side, self.side

    def split(self, matrix: Tensor) -> Tensor:
        """`(size, m)` as `(count, side, m)`."""
        missing = self.count * self.side - self.size
        if missing:
            matrix = ops.pad(matrix, ((0, missing), (0, 0)))
        return ops.reshape(matrix, (self.count, self.side, -1))

    def joined(self, parts: Tensor) -> Tensor:
        """The inverse of `split`."""
        return ops.reshape(parts, (self.count * self.side, -1))[: self.size]

    def gram(self, matrix: Tensor) -> Tensor:
        """Tiles of `M Mᵀ` for `M` of shape `(size, m)`."""
        parts = self.split(matrix)
        return ops.matmul(parts, ops.swapaxes(parts, -1, -2))

    def products(self, one: Tensor, other: Tensor) -> Tensor:
        """Tiles of `Mᵀ N` for matrices of shape `(rows, size)`."""
        one, other = (self._columns(matrix) for matrix in (one, other))
        return ops.matmul(ops.swapaxes(one, -1, -2), other)

    def apply(self, tiles: Tensor, matrix: Tensor) -> Tensor:
        """The block-diagonal matrix of `tiles` times `(size, m)`."""
        return self.joined(ops.matmul(tiles, self.split(matrix)))

    def apply_right(self, matrix: Tensor, tiles: Tensor) -> Tensor:
        """`(rows, size)` times the block-diagonal matrix of `tiles`."""
        parts = ops.swapaxes(ops.matmul(self._columns(matrix), tiles), 0, 1)
        return ops.reshape(parts, (-1, self.count * self.side))[:, : self.size]

    def _columns(self, matrix: Tensor) -> Tensor:
        """`(rows, size)` as `(count, rows, side)`."""
        missing = self.count * self.side - self.size
        if missing:
            matrix = ops.pad(matrix, ((0, 0), (0, missing)))
        return ops.swapaxes(ops.reshape(matrix, (-1, self.count, self.side)), 0, 1)
