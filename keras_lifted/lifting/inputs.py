"""The inputs that reach the kernels of a model during a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

from keras import ops

from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.affine import Affine

Tensor = Any


class InputScope:
    """Context that keeps the inputs of `affine` layers while they are called.

    Args:
        affine: the layers.
        slots: zeros, by index, of the layers whose displacements are wanted:
            the gradients in them are the displacements `δ`.
    """

    def __init__(
        self, affine: Sequence[Affine], slots: dict[str, Tensor] | None = None
    ) -> None:
        self.affine = affine
        self.slots = slots or {}
        self.rows: dict[str, list[Tensor]] = {}
        self.shapes: dict[str, list[tuple[int, ...]]] = {}
        self.owners: dict[str, int] = {}

    def __enter__(self) -> InputScope:
        self.rows.clear()
        self.shapes.clear()
        self.owners.clear()
        for index, each in enumerate(self.affine):
            each.layer.call = self._keeping(str(index), each, each.layer.call)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self.affine:
            delattr(each.layer, "call")

    def _keeping(self, index: str, affine: Affine, call: Any) -> Any:
        def keeping(inputs: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
            self.shapes.setdefault(index, []).append(tuple(inputs.shape))
            kept = self.rows.setdefault(index, [])
            if index in self.slots:
                kept.append(lifted_real(ops.stop_gradient(inputs)))
                return affine.displaced(inputs, self.slots[index])
            kept.append(affine.rows(inputs))
            return call(inputs, *arguments, **keywords)

        return keeping

    def activated(self, block: int) -> None:
        """A block's activation was called: it owns the layers met since the last."""
        for index in self.rows:
            self.owners.setdefault(index, block)

    def joined(self) -> dict[str, Tensor]:
        """`{index of the layer: (rows, n)}`, the calls of a shared layer together."""
        return {
            index: rows[0] if len(rows) == 1 else ops.concatenate(rows, axis=0)
            for index, rows in self.rows.items()
        }

    def plain(self) -> dict[str, tuple[int, int]]:
        """`{index: shape of z}` of the plain layers called once, on a matrix.

        1 stands for a number of rows that is not known.
        """
        return {
            index: (shapes[0][0] or 1, self.affine[int(index)].outputs)
            for index, shapes in self.shapes.items()
            if self.affine[int(index)].plain
            and len(shapes) == 1
            and len(shapes[0]) == 2
        }
