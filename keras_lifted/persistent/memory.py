"""Lifted variables that stay from one epoch to the next, in memory or in files."""

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any, Self, final

import keras
import numpy as np
from keras import ops

from keras_lifted.backend import on_host, read_rows, write_rows
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.structure import Structure
from keras_lifted.lifting.swept import Lifted, Stored
from keras_lifted.persistent.settings import Persistent

Tensor = Any
Shape = tuple[int, ...]


@final
class VariableStore:
    """Optimizer variables of shape `(samples, *shape)`."""

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        samples: int,
        shapes: Mapping[str, Shape],
    ) -> None:
        self.shapes = dict(shapes)
        self.coordinates = {
            key: optimizer.add_variable(
                (samples, *shape),
                "zeros",
                dtype=real_dtype(),
                name=f"lifted_coordinate_{i}",
            )
            for i, (key, shape) in enumerate(shapes.items())
        }
        self.variables = tuple(self.coordinates.values())

    def read(self, index: Tensor, seen: Tensor) -> tuple[Lifted, Tensor]:
        """Return `{key: (batch, *shape)}`, and which of the samples `seen` it holds."""
        return {k: read_rows(v, index) for k, v in self.coordinates.items()}, seen

    def write(self, index: Tensor, rows: Lifted, seen: Tensor) -> None:
        """Replace the rows of the samples `index`, `(batch,)`, and which are `seen`."""
        for key, variable in self.coordinates.items():
            write_rows(variable, index, rows[key])


@final
class FileStore:
    """NumPy files in a folder; those there already, of the same shapes, are kept."""

    variables = ()  # the optimizer has none of them

    def __init__(
        self, folder: pathlib.Path, samples: int, shapes: Mapping[str, Shape]
    ) -> None:
        self.shapes = dict(shapes)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = {
            f"coordinate_{i}.npy": ((samples, *shape), np.dtype(real_dtype()))
            for i, shape in enumerate(shapes.values())
        }
        wanted["seen.npy"] = (samples,), np.dtype(bool)
        there = all(_fits(folder / name, *kind) for name, kind in wanted.items())
        if not there:
            _check_room(folder, wanted)
        *coordinates, self._seen = (
            np.lib.format.open_memmap(
                folder / name, "r+" if there else "w+", dtype, shape
            )
            for name, (shape, dtype) in wanted.items()
        )
        self._files = dict(zip(shapes, coordinates, strict=True))

    def read(self, index: Tensor, seen: Tensor) -> tuple[Lifted, Tensor]:
        batch = index.shape[0]
        outputs = [((batch, *self.shapes[key]), real_dtype()) for key in self._files]

        def rows(index: np.ndarray) -> list[np.ndarray]:
            index = np.asarray(index)
            return [*(file[index] for file in self._files.values()), self._seen[index]]

        *coordinates, held = on_host(rows, [*outputs, ((batch,), "bool")], index)
        lifted = dict(zip(self._files, coordinates, strict=True))
        return lifted, ops.logical_and(seen, held)

    def write(self, index: Tensor, rows: Lifted, seen: Tensor) -> None:
        files = [*self._files.values(), self._seen]

        def replace(index: np.ndarray, *parts: np.ndarray) -> list[np.ndarray]:
            index = np.asarray(index)
            for file, part in zip(files, parts, strict=True):
                file[index] = part
            return []

        on_host(replace, [], index, *(rows[key] for key in self._files), seen)


@dataclasses.dataclass(frozen=True)
class Memory:
    """Coordinates of the lifted variables of every sample."""

    seen: keras.Variable  # whether each was visited, `(samples,)`
    store: VariableStore | FileStore

    @classmethod
    def build(cls, optimizer: keras.optimizers.Optimizer, settings: Persistent) -> Self:
        """Add the variables to `optimizer`, or open the files."""
        samples, shapes = settings.samples or 0, settings.shapes or {}
        store: VariableStore | FileStore
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
        """Return what is kept of the samples `index`, `(batch,)`, or a ValueError."""
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


def _fits(path: pathlib.Path, shape: Shape, dtype: np.dtype) -> bool:
    """Return whether there is a file of that shape."""
    if not path.exists():
        return False
    try:
        file = np.load(path, mmap_mode="r")
    except ValueError:  # no NumPy file, or one that ends too early
        return False
    return bool(file.shape == shape and file.dtype == dtype)


def _check_room(
    folder: pathlib.Path, wanted: Mapping[str, tuple[Shape, np.dtype]]
) -> None:
    needed = sum(np.prod(shape) * dtype.itemsize for shape, dtype in wanted.values())
    replaced = sum(f.stat().st_size for f in map(folder.joinpath, wanted) if f.exists())
    free = shutil.disk_usage(folder).free + replaced
    if needed > free:
        raise ValueError(
            f"The lifted variables need {needed / 2**30:.3g} GiB on disk. Received: "
            f"the folder {str(folder)!r}, on a disk with {free / 2**30:.3g} GiB to "
            "spare. Choose another folder, or fewer samples."
        )
