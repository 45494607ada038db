"""Running moments of what enters a kernel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.lockstep import Anew
from keras_lifted.geometries.lockstep import Parts
from keras_lifted.geometries.tiles import Tiles
from keras_lifted.lifting.affine import Affine

Tensor = Any
# add(name, shape) -> a new optimizer variable of zeros
Add = Callable[[str, tuple[int, ...]], keras.Variable]

# Inputs that are kept to measure how far a step moves the pre-activations.
PROBES = 128


@dataclasses.dataclass(frozen=True)
class Moments:
    """Mean, centred second moment and a few rows of a layer's inputs.

    Without a bias the mean stays zero: a change of the kernel then cannot be
    taken back by one of the bias, and the plain second moment measures it.

    Attributes:
        mean: running mean, `(n,)`.
        gram: running `E (a − mean)(a − mean)ᵀ` as tiles, or None.
        rows: some rows of the last batch, not centred, `(128, n)`.
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

    def observe(
        self, affine: Affine, tiles: Tiles, rows: Tensor, due: Tensor
    ) -> Parts[None]:
        """Take in the inputs of a batch; those that are not finite are left out.

        Args:
            affine: the layer.
            tiles: of the second moment.
            rows: the layer's inputs, `(rows, n)`.
            due: whether the second moment takes them in too.
        """
        good = ops.all(ops.isfinite(rows))
        rows = ops.where(good, rows, ops.zeros_like(rows))
        taken = ops.logical_and(good, due)
        keep = ops.minimum(self.decay, self.steps / (self.steps + 1.0))
        if affine.bias is not None:
            mean = keep * self.mean + (1.0 - keep) * ops.mean(rows, axis=0)
            self.mean.assign(ops.where(taken, mean, ops.convert_to_tensor(self.mean)))
        if self.gram is not None:
            centred = ops.transpose(rows - self.mean)
            count = ops.cast(ops.shape(rows)[0], rows.dtype)
            known = ops.convert_to_tensor(self.gram)

            def moved() -> Tensor:
                new = keep * known + (1.0 - keep) / count * tiles.gram(centred)
                return ops.where(good, new, known)

            self.gram.assign((yield Anew(due, moved, known)))
        index = ops.arange(PROBES, dtype="int32") % ops.shape(rows)[0]
        shown = ops.take(rows, index, axis=0)
        self.rows.assign(ops.where(good, shown, ops.convert_to_tensor(self.rows)))
        self.steps.assign(self.steps + ops.cast(taken, self.steps.dtype))
