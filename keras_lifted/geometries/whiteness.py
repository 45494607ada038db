"""How well a root that was computed earlier whitens a matrix of today."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.geometries.newton_schulz import damped
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.sketch import sketch

Tensor = Any

# Up to this spread of eigenvalues a root is as good as a new one.
WHITE = 0.3


def whitens(root: Tensor, matrix: Tensor, damping: Any, spread: Any = WHITE) -> Tensor:
    """Whether `R (A/m + damping·I) R` is about a multiple of the identity, `()`.

    The standard deviation of its eigenvalues over their mean, told from products
    with 32 vectors of random signs, is at most `spread`. False of what is not finite.

    Args:
        root: `R`, symmetric, `(tiles, n, n)`.
        matrix: `A`, symmetric and positive semidefinite, `(tiles, n, n)`.
        damping: relative to `m`, the mean eigenvalue of all `A`.
        spread: a number.
    """
    signs = sketch(ops.eye(matrix.shape[-1], dtype=matrix.dtype))
    seen = ops.matmul(damped(matrix, damping), ops.matmul(root, signs))
    seen = ops.matmul(root, seen)
    mean, square = ops.mean(signs * seen), ops.mean(ops.square(seen))
    return ops.logical_and(mean > TINY, square < (1.0 + spread**2) * ops.square(mean))
