"""The two inverse roots between which a kernel's gradient is whitened."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from keras_lifted.backend import accelerated
from keras_lifted.backend import cond
from keras_lifted.geometries.base import State
from keras_lifted.geometries.low_rank import applied
from keras_lifted.geometries.low_rank import rank_of
from keras_lifted.geometries.renewal import renewed
from keras_lifted.geometries.tiles import Tiles

Tensor = Any

SIDES = ("left", "right")
# Names of `A^(−1/2)` of low rank in the state.
LOW = ("left_basis", "left_low", "left_rest")


@dataclasses.dataclass(frozen=True)
class Factors:
    """`A^(−1/2)` and `D^(−1/2)`, in tiles.

    A joint matrix, `(n + 1, m)`, is a kernel's with a row for the bias below, which
    only `D^(−1/2)` changes. Values are in the geometry's state, by name: "left_root",
    "right_root", "…_back", which undo them, and those of low rank.

    Attributes:
        left: of the n inputs.
        right: of the m outputs.
    """

    left: Tiles
    right: Tiles

    def shapes(self, backs: bool) -> dict[str, tuple[int, ...]]:
        """`{name: shape}`, with or without what undoes the roots."""
        found: dict[str, tuple[int, ...]] = {}
        for side, tiles in zip(SIDES, (self.left, self.right), strict=True):
            found[f"{side}_root"] = tiles.shape
            if backs:
                found[f"{side}_back"] = tiles.shape
        if rank := rank_of(self.left.side):
            thin = (self.left.count, self.left.side, rank)
            shapes = (thin, thin, (self.left.count, 1, 1))
            found.update(zip(LOW, shapes, strict=True))
        return found

    def of(self, state: State, backs: bool) -> State:
        """The part of a geometry's state that holds them."""
        return {name: state[name] for name in self.shapes(backs)}

    def renewed(
        self,
        held: State,
        moments: tuple[Tensor, Tensor],
        damping: tuple[Any, Any],
        rows: Any,
        batches: Tensor,
    ) -> State:
        """`held`, with roots anew where those so far whiten no longer.

        Args:
            held: what `of` returns, and "whitened", a joint matrix between the roots
                so far that is carried over to the new ones, or none.
            moments: `A` and `D`.
            damping: of both.
            rows: samples of a batch, a number.
            batches: so many of them the moments have seen, `()`.
        """
        for side, matrix, own in zip(SIDES, moments, damping, strict=True):
            old = held
            parts = {
                name.removeprefix(f"{side}_"): value
                for name, value in held.items()
                if name.startswith(f"{side}_")
            }
            parts = renewed(parts, matrix, own, rows, batches)
            held = {**held, **{f"{side}_{name}": parts[name] for name in parts}}
            if "whitened" in held:
                held["whitened"] = self._carried(side, old, held)
        return held

    def _carried(self, side: str, old: State, new: State) -> Tensor:
        """`old`'s "whitened" between the roots of `new`, which differ on one side."""

        def moved() -> Tensor:
            raw = self._times(side, old[f"{side}_back"], old["whitened"])
            if side == "left":
                return self.whiten_left(new, raw)
            return self._times(side, new["right_root"], raw)

        root = f"{side}_root"
        changed = ops.any(ops.not_equal(new[root], old[root]))
        return cond(changed, moved, lambda: old["whitened"])

    def whiten(self, state: State, joint: Tensor) -> Tensor:
        """`A^(−1/2) G D^(−1/2)` of a joint matrix."""
        joint = self.whiten_left(state, joint)
        return self._times("right", state["right_root"], joint)

    def whiten_left(self, state: State, joint: Tensor) -> Tensor:
        """`A^(−1/2) G` of a joint matrix."""
        if LOW[0] not in state or accelerated():
            return self._times("left", state["left_root"], joint)
        basis, low, rest = (state[name] for name in LOW)

        def thin() -> Tensor:
            parts = self.left.split(joint[:-1])
            kernel = self.left.joined(applied(rest, low, basis, parts))
            return ops.concatenate([kernel, joint[-1:]], axis=0)

        new: Tensor = cond(
            ops.any(ops.greater(rest, 0.0)),
            thin,
            lambda: self._times("left", state["left_root"], joint),
        )
        return new

    def _times(self, side: str, factor: Tensor, joint: Tensor) -> Tensor:
        """A joint matrix times a factor on one side."""
        if side == "right":
            return self.right.apply_right(joint, factor)
        kernel = self.left.apply(factor, joint[:-1])
        return ops.concatenate([kernel, joint[-1:]], axis=0)
