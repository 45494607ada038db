"""Lifted variables that stay from one epoch to the next: the state."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import read_rows
from keras_lifted.backend import write_rows
from keras_lifted.lifting.stored import Stored
from keras_lifted.lifting.structure import Structure
from keras_lifted.lifting.swept import Lifted
from keras_lifted.persistent.settings import Persistent
from keras_lifted.persistent.store import FileStore
from keras_lifted.persistent.store import Store
from keras_lifted.persistent.store import VariableStore

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Memory:
    """Coordinates of the lifted variables of every sample.

    Attributes:
        seen: whether a sample was visited, `(samples,)`, an optimizer variable.
        store: of the coordinates.
    """

    seen: keras.Variable
    store: Store

    @classmethod
    def build(
        cls, optimizer: keras.optimizers.Optimizer, settings: Persistent
    ) -> Memory:
        """Add the variables to `optimizer`, or open the files."""
        samples, shapes = settings.samples or 0, settings.shapes or {}
        store: Store
        if settings.on_disk:
            folder = pathlib.Path(str(settings.directory))
            store = FileStore(folder, samples, shapes)
        else:
            store = VariableStore(optimizer, samples, shapes)
        seen = optimizer.add_variable(
            (samples,), "zeros", dtype="bool", name="lifted_seen"
        )
        return cls(seen, store)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that are the optimizer's."""
        return [self.seen, *self.store.variables]

    def read(self, index: Tensor, structure: Structure) -> Stored:
        """Return what is kept of the samples `index`, `(batch,)`.

        Raises:
            ValueError: If the blocks of this batch are not those that are kept.
        """
        kept = self.store.shapes
        met = {key: tuple(structure.shapes[key][1:]) for key in structure.keys}
        if not met.items() <= kept.items():
            raise ValueError(
                f"The optimizer keeps lifted variables of shapes {kept}. Received: a "
                f"batch in which they are {met}. Persistent lifted variables need "
                "samples of one shape."
            )
        index = self._within(index)
        return Stored(*self.store.read(index, read_rows(self.seen, index)))

    def write(self, index: Tensor, before: Stored, new: Lifted, good: Tensor) -> None:
        """Keep `new` of the samples `index`, or leave all as it is if not `good`."""
        index = self._within(index)
        kept = before.coordinates
        # What the loss does not read is not moved.
        moved = {key: new.get(key, kept[key]) for key in kept}
        rows = {key: ops.where(good, moved[key], kept[key]) for key in kept}
        seen = ops.logical_or(before.seen, good)
        self.store.write(index, rows, seen)
        write_rows(self.seen, index, seen)

    def holds(self, index: Tensor) -> Tensor:
        """Return whether all of `index` are indices of samples."""
        return ops.all(ops.logical_and(index >= 0, index < self.seen.shape[0]))

    def forget(self) -> None:
        """Let every sample start at the forward pass again."""
        self.seen.assign(ops.zeros(self.seen.shape, "bool"))

    def _within(self, index: Tensor) -> Tensor:
        return ops.clip(index, 0, self.seen.shape[0] - 1)
