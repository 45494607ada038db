"""Lifted variables that stay from one epoch to the next: the settings."""

import math
import numbers
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self, final

import keras

from keras_lifted.arguments import Saved
from keras_lifted.checks import is_count, resolve

BYTES = 4  # of one float32
GIB = 2.0**30


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Persistent(Saved):
    """Settings by which every sample keeps its lifted variables between epochs.

    A step starts from what the last visit of the sample found, the first visit at the
    forward pass. They are optimizer variables of shape `(samples, *shape)`, so saving,
    loading and `BackupAndRestore` keep them. Where these would take more than
    `memory_limit` and there is a `directory`, they are NumPy files in it; a saved
    optimizer holds which samples it has visited, and goes on with the files. Without
    the files those samples start at the forward pass again. Each optimizer needs a
    directory of its own, and one process. On TensorFlow steps that read files run
    without XLA.

    Args:
        samples: int. The number of samples; None where `fit` is given arrays, which
            tell. Defaults to None.
        memory_limit: float. The most GiB that they may take in memory. Defaults to 4.0.
        directory: str. Where they are kept if they take more. Defaults to None.
        shapes: dict. `{activation name: shape of one sample}`; `fit` finds them, and
            the config keeps them so that a saved model needs no data. Defaults to None.

    Raises:
        ValueError: If an argument is out of range, or, in `fit`, if the lifted
            variables take more than `memory_limit` and there is no `directory`, or
            more than its disk has to spare.

    Source: Carreira-Perpiñán & Wang, arXiv 1212.5921, where every sample has its
    own auxiliary coordinates.

    Example:

    >>> import keras_lifted as kl
    >>> kl.optimizers.Persistent(60_000, memory_limit=8.0).samples
    60000
    """

    def __init__(
        self,
        samples: int | None = None,
        memory_limit: float = 4.0,
        directory: str | os.PathLike[str] | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        if samples is not None and not is_count(samples):
            raise ValueError(
                "`samples` must be the number of training samples, at least 1, or "
                f"None to take it from arrays. Received: samples={samples!r}"
            )
        limit: Any = memory_limit
        if not isinstance(limit, numbers.Real) or math.isnan(limit) or limit <= 0:
            raise ValueError(
                "`memory_limit` must be a positive number (GiB). "
                f"Received: memory_limit={memory_limit!r}"
            )
        self.samples = None if samples is None else int(samples)
        self.memory_limit = float(memory_limit)
        self.directory = None if directory is None else os.fspath(directory)
        self.shapes: dict[str, tuple[int, ...]] | None = None
        if shapes is not None:
            self.shapes = {key: tuple(shape) for key, shape in shapes.items()}

    def filled(self, samples: int | None, shapes: Mapping[str, Sequence[int]]) -> Self:
        """Return these settings with what `fit` knows, or raise a ValueError."""
        known = self.samples if samples is None else samples
        if known is None:
            raise ValueError(
                "Persistent lifted variables need the number of training samples. "
                "Received: data that do not tell it. Give it to the optimizer, for "
                "example persistent=60_000."
            )
        if self.samples is not None and known != self.samples:
            raise ValueError(
                f"The optimizer keeps lifted variables of {self.samples} samples. "
                f"Received: {known} samples. Pass the same data in the same order, "
                "or a part of them as fit(kl.indexed(x, index), y); for other data "
                "compile with a new optimizer."
            )
        if self.shapes is not None and dict(shapes) != self.shapes:
            raise ValueError(
                f"The optimizer keeps lifted variables of shapes {self.shapes}. "
                f"Received: a model and data whose shapes are {dict(shapes)}. "
                "Compile with a new optimizer."
            )
        filled = type(self)(known, self.memory_limit, self.directory, shapes)
        needed = filled.needed
        if needed > self.memory_limit and self.directory is None:
            raise ValueError(
                f"The lifted variables of {known} samples need {needed:.3g} GiB. "
                f"Received: memory_limit={self.memory_limit:g} GiB. Raise it with "
                "persistent=kl.optimizers.Persistent(memory_limit="
                f"{1.1 * needed:.2g}), keep them on disk with Persistent(directory="
                "...), use fewer samples, or persistent=False."
            )
        return filled

    @property
    def needed(self) -> float:
        """GiB of the lifted variables of all samples, 0 before they are known."""
        numbers_each = sum(math.prod(shape) for shape in (self.shapes or {}).values())
        return (self.samples or 0) * numbers_each * BYTES / GIB

    @property
    def on_disk(self) -> bool:
        """Whether they are kept in files."""
        return self.directory is not None and self.needed > self.memory_limit


def get(identifier: Any) -> Persistent | None:
    """Return the settings, or raise a ValueError."""
    if identifier is None or identifier is False:
        return None
    if identifier is True:
        return Persistent()
    if isinstance(identifier, numbers.Integral):
        return Persistent(int(identifier))
    expected = (
        "`persistent` must be True, False, the number of training samples, or "
        "keras_lifted.optimizers.Persistent(...)"
    )
    return resolve(identifier, Persistent, {}, expected)


def check_methods(penalty: Any, update: Any) -> None:
    """Raise a ValueError if they cannot go on from stored lifted variables."""
    if penalty.contrastive:
        raise ValueError(
            "`persistent` keeps one set of lifted variables per sample. The "
            f"penalty {type(penalty).__name__} minimises over two of them, "
            f"with and without the loss. Received: penalty={type(penalty).__name__}. "
            "Use another penalty, or persistent=False."
        )
    if not update.starts_anywhere:
        raise ValueError(
            "`persistent` starts an update from stored lifted variables. The "
            f"{type(update).__name__} takes full steps, which fit a "
            "start at the forward pass; from anywhere else they may raise the "
            f"energy. Received: lifted_update={type(update).__name__}. Choose steps "
            "bounded by the curvature: ProximalGradient(...) or Mirror(...)."
        )
