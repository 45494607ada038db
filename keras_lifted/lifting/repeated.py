"""A step that is repeated until it changes little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import while_loop
from keras_lifted.layers.precision import lifted_real

Tensor = Any


def repeated(
    step: Callable[[Tensor], Tensor], start: Tensor, most: int, tolerance: float | None
) -> Tensor:
    """Return `start` after up to `most` steps.

    Fewer once a step has changed it by at most `tolerance`, relative to the norm of
    all of it; None for all of them. No derivative is taken through the steps.
    """
    if tolerance is None:
        for _ in range(most):
            start = step(start)
        return start
    if most < 1:
        return start

    def more(i: Tensor, change: Tensor, value: Tensor) -> Tensor:
        return ops.logical_and(i < most, change > tolerance)

    def body(i: Tensor, change: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        new = step(value)
        return i + 1, _change(lifted_real(new), lifted_real(value)), new

    unknown = ops.full((), float("inf"), lifted_real(start).dtype)
    _, _, value = while_loop(more, body, (ops.zeros((), "int32"), unknown, start))
    return value


def _change(new: Tensor, old: Tensor) -> Tensor:
    moved, size = ops.sum(ops.square(new - old)), ops.sum(ops.square(new))
    return ops.sqrt(moved / ops.maximum(size, 1e-30))
