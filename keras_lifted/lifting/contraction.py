"""Einsum equations that multiply rows by a matrix."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras import ops

Tensor = Any

ELLIPSIS = "..."


@dataclasses.dataclass(frozen=True)
class Contraction:
    """An equation such as `"abc,cde->abde"`: rows `c` times a matrix `c × (d e)`.

    Attributes:
        inputs: labels of the input's axes; `ELLIPSIS` stands for any number.
        outputs: labels of the output's axes.
        contracted: labels of the kernel's first axes, those of the rows.
        produced: labels of its last axes, those of the columns.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    contracted: tuple[str, ...]
    produced: tuple[str, ...]

    def rows_last(self, x: Tensor) -> Tensor:
        """Return `x` with its contracted axes behind the others, as one axis."""
        labels = list(self.inputs)
        if ELLIPSIS in labels:
            at, missing = labels.index(ELLIPSIS), len(x.shape) - len(labels) + 1
            labels[at : at + 1] = [f"{ELLIPSIS}{i}" for i in range(missing)]
        others = [i for i, label in enumerate(labels) if label not in self.contracted]
        rows = [labels.index(label) for label in self.contracted]
        x = ops.transpose(x, (*others, *rows))
        size = math.prod(x.shape[len(others) :])
        return ops.reshape(x, (-1, *x.shape[1 : len(others)], size))

    def one_bias_each(self, axes: str | None) -> bool:
        """Return whether a bias along the output's `axes` has an entry a column."""
        along = tuple(label for label in self.outputs if label in (axes or ""))
        return along == self.produced


def contraction_of(equation: str) -> Contraction | None:
    """Return how `equation` multiplies rows by a matrix; None where it does more.

    The kernel's labels are those of the rows, which are not in the output, and
    then those of the columns, which are not in the input; its other axes would
    be a matrix each. The first axis of the input is that of the samples.
    """
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel, outputs = (_labels(part) for part in (*left.split(","), output))
    contracted = tuple(label for label in inputs if label not in outputs)
    rows = tuple(label for label in kernel if label in inputs)
    produced = tuple(label for label in kernel if label not in inputs)
    matrix = (
        kernel == (*rows, *produced)
        and sorted(rows) == sorted(contracted)
        and set(produced) <= set(outputs)
        and len(rows) > 0 < len(produced)
        and inputs[0] not in contracted
    )
    return Contraction(inputs, outputs, rows, produced) if matrix else None


def _labels(term: str) -> tuple[str, ...]:
    before, ellipsis, after = term.partition(ELLIPSIS)
    return (*before, *([ellipsis] if ellipsis else []), *after)
