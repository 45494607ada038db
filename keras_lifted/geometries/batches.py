"""Square matrices of similar sizes in one batch, so that few programs are compiled."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

Tensor = Any

# Matrices whose side is at least this part of the largest one's are filled up to it.
SIMILAR = 0.7
# Sides up to this count as similar, whatever they are.
SMALL = 32


def in_batches(
    function: Callable[[Tensor], Tensor], matrices: Sequence[Tensor]
) -> list[Tensor]:
    """Return `function` of every matrix, called once for all of similar sizes.

    Args:
        function: callable. From `(batch, n, n)` to `(batch, n, n)`; what it makes of a
            block diagonal matrix is block diagonal.
        matrices: sequence of tensors. Of shapes `(..., n, n)`.
    """
    results: list[Tensor] = [None] * len(matrices)
    left = sorted(range(len(matrices)), key=lambda i: -matrices[i].shape[-1])
    while left:
        side = matrices[left[0]].shape[-1]
        least = 1 if side <= SMALL else SIMILAR * side
        batch = [i for i in left if matrices[i].shape[-1] >= least]
        left = left[len(batch) :]
        filled = [_filled(matrices[i], side) for i in batch]
        done = function(ops.concatenate(filled, axis=0))
        at = 0
        for i, each in zip(batch, filled, strict=True):
            shape, n = matrices[i].shape, matrices[i].shape[-1]
            part = done[at : at + each.shape[0], :n, :n]
            results[i] = ops.reshape(part, shape)
            at += each.shape[0]
    return results


def _filled(matrix: Tensor, side: int) -> Tensor:
    n = matrix.shape[-1]
    matrix = ops.reshape(matrix, (-1, n, n))
    return ops.pad(matrix, ((0, 0), (0, side - n), (0, side - n)))
