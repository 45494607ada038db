"""Weight gradients of plain layers, from their inputs and displacements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.lifting.affine import Affine

Tensor = Any
# What else there is in the gradients of a kernel and of its bias; None for nothing.
Rest = tuple[Tensor | None, Tensor | None]


def complete(
    gradients: list[Tensor | None],
    trainable: Sequence[keras.Variable],
    affine: Sequence[Affine],
    inputs: dict[str, Tensor],
    displacements: dict[str, Tensor],
) -> dict[str, Rest]:
    """Add `aᵀ δ` and `Σ δ` of the plain layers to the gradients.

    Args:
        gradients: of the trainable variables; changed in place.
        trainable: these variables.
        affine: layers, by their index.
        inputs: index -> `a`, `(rows, n)`.
        displacements: index of a plain layer -> `δ`, `(rows, m)`.

    Returns:
        What was there before, by index.
    """
    place = {id(v): i for i, v in enumerate(trainable)}
    rests: dict[str, Rest] = {}
    for index, d in displacements.items():
        kernel, bias = affine[int(index)].kernel, affine[int(index)].bias
        product = ops.matmul(ops.transpose(inputs[index]), d)
        rest = _add(gradients, place[id(kernel)], product)
        other = None
        if bias is not None:
            other = _add(gradients, place[id(bias)], ops.sum(d, axis=0))
        rests[index] = rest, other
    return rests


def _add(gradients: list[Tensor | None], at: int, part: Tensor) -> Tensor | None:
    """Add `part` to one of the gradients; returns what it was."""
    rest = gradients[at]
    gradients[at] = part if rest is None else part + rest
    return rest
