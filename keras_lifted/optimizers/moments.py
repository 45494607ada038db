"""Running moments of what enters a kernel."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.base import Add
from keras_lifted.geometries.tiles import Tiles
from keras_lifted.lifting.inputs import Affine

Tensor = Any

# Inputs that are kept to measure how far a step moves the pre-activations.
PROBES = 64


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean, centred second moment and a few rows of a layer's inputs.

    Without a bias the mean stays zero: a change of the kernel then cannot be
    taken back by one of the bias, and the plain second moment measures it.

    Attributes:
        mean: running mean, `(n,)`.
        gram: running `E (a − mean)(a − mean)ᵀ` as tiles, or None.
        rows: some rows of the last batch, not centred, `(64, n)`.
        steps: batches seen, `()`.
        decay: of the running moments, per batch.
    """

    mean: keras.Variable
    gram: keras.Variable | None
    rows: keras.Variable
    steps: keras.Variable
    decay: float

    @classmethod
    def build(
        cls, add: Add, affine: Affine, tiles: Tiles | None, decay: float
    ) -> Moments:
        """Add the variables; `tiles` where the second moment is wanted."""
        return cls(
            add("mean", (affine.inputs,)),
            None if tiles is None else add("gram", tiles.shape),
            add("rows", (PROBES, affine.inputs)),
            add("inputs_seen", ()),
            decay,
        )

    def observe(self, affine: Affine, tiles: Tiles, rows: Tensor) -> None:
        """Take in the inputs of a batch; those that are not finite are left out."""
        good = ops.all(ops.isfinite(rows))
        rows = ops.where(good, rows, ops.zeros_like(rows))
        keep = ops.minimum(self.decay, self.steps / (self.steps + 1.0))
        keep = ops.where(good, keep, ops.ones_like(keep))
        if affine.bias is not None:
            mean = ops.mean(rows, axis=0)
            self.mean.assign(keep * self.mean + (1.0 - keep) * mean)
        if self.gram is not None:
            centred = ops.transpose(rows - self.mean)
            count = ops.cast(ops.shape(rows)[0], rows.dtype)
            gram = tiles.gram(centred) / count
            self.gram.assign(keep * self.gram + (1.0 - keep) * gram)
        index = ops.arange(PROBES, dtype="int32") % ops.shape(rows)[0]
        shown = ops.take(rows, index, axis=0)
        self.rows.assign(ops.where(good, shown, ops.convert_to_tensor(self.rows)))
        self.steps.assign(self.steps + ops.cast(good, self.steps.dtype))
