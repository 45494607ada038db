"""Lifted variables that stay from one epoch to the next: the state."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import read_rows
from keras_lifted.backend import write_rows
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.stored import Stored
from keras_lifted.lifting.structure import Structure
from keras_lifted.lifting.swept import Lifted
from keras_lifted.optimizers.persistent import Persistent

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Memory:
    """Carriers of the lifted variables of every sample, as optimizer variables.

    Attributes:
        seen: whether a sample was visited, `(samples,)`.
        carriers: key of the call -> `(samples, *shape)`, zeros until it was.
    """

    seen: keras.Variable
    carriers: dict[str, keras.Variable]

    @classmethod
    def build(
        cls, optimizer: keras.optimizers.Optimizer, settings: Persistent
    ) -> Memory:
        """Add the variables to `optimizer`."""
        shapes = settings.shapes or {}

        def add(name: str, shape: tuple[int, ...], dtype: str) -> keras.Variable:
            return optimizer.add_variable(
                (settings.samples, *shape), "zeros", dtype=dtype, name=name
            )

        return cls(
            add("lifted_seen", (), "bool"),
            {
                key: add(f"lifted_carrier_{i}", shape, real_dtype())
                for i, (key, shape) in enumerate(shapes.items())
            },
        )

    @property
    def variables(self) -> list[keras.Variable]:
        """All of them."""
        return [self.seen, *self.carriers.values()]

    def read(self, index: Tensor, structure: Structure) -> Stored:
        """What is kept of the samples `index`, `(batch,)`.

        Raises:
            ValueError: if the blocks of this batch are not those that are kept.
        """
        kept = {key: tuple(v.shape[1:]) for key, v in self.carriers.items()}
        met = {key: tuple(structure.shapes[key][1:]) for key in structure.keys}
        if kept != met:
            raise ValueError(
                f"The optimizer keeps lifted variables of shapes {kept}. Received: a "
                f"batch in which they are {met}. Persistent lifted variables need "
                "samples of one shape."
            )
        index = self._within(index)
        rows = {key: read_rows(v, index) for key, v in self.carriers.items()}
        return Stored(rows, read_rows(self.seen, index))

    def write(self, index: Tensor, before: Stored, new: Lifted, good: Tensor) -> None:
        """Keep `new` of the samples `index`, or leave all as it is if not `good`."""
        index = self._within(index)
        for key, variable in self.carriers.items():
            rows = ops.where(good, new[key], before.carriers[key])
            write_rows(variable, index, rows)
        write_rows(self.seen, index, ops.logical_or(before.seen, good))

    def holds(self, index: Tensor) -> Tensor:
        """Whether all of `index` are indices of samples."""
        return ops.all(ops.logical_and(index >= 0, index < self.seen.shape[0]))

    def forget(self) -> None:
        """Every sample starts at the forward pass again."""
        self.seen.assign(ops.zeros(self.seen.shape, "bool"))

    def _within(self, index: Tensor) -> Tensor:
        return ops.clip(index, 0, self.seen.shape[0] - 1)
