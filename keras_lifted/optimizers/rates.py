"""How long the steps are, and when statistics are refreshed."""

from typing import Any

from keras import ops

from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.newton_schulz import TINY

Tensor = Any

# The rate of up to nine kernels. Relative changes of kernels add up along the depth
# where no normalisation undoes them, so more of them take less, down to a fifth.
RATE, SHALLOW, DEEPEST = 0.1, 9, 0.2
# Kernels of more inputs than outputs move by more, at most by the root of this.
TALLEST = 6.0
# Covariances keep this part of themselves at a refresh.
KEEP = 0.5


def rate_at(kernels: int) -> float:
    """Return the default rate of so many kernels, `0.9/L` within [0.02, 0.1]."""
    return RATE * min(1.0, max(DEEPEST, SHALLOW / max(kernels, 1)))


def is_due(steps: Tensor, every: int) -> Tensor:
    """Return whether to refresh after so many steps: powers of 2 and multiples."""
    due = ops.equal(steps % every, 0)
    for early in (2**i for i in range(every.bit_length())):
        due = ops.logical_or(due, ops.equal(steps, early))
    return due


def kept(refreshes: Tensor) -> Tensor:
    """Return the part that covariances keep after so many refreshes: none at first."""
    return ops.minimum(KEEP, refreshes / (refreshes + 1.0))


def of_unit_rate(layout: Layout, direction: Tensor) -> Tensor:
    """Return the step of rate 1: the mean square of its singular values is `ω²`.

    `ω = √(m/n)` with more outputs m than inputs n, else `√min(n/m, 6)`.
    """
    n, m = layout.sites * layout.inputs, layout.outputs
    size = ((m / n if m > n else min(n / m, TALLEST)) * min(n, m)) ** 0.5
    norm = ops.sqrt(ops.sum(ops.square(direction), axis=(1, 2, 3), keepdims=True))
    return direction * (size / (norm + TINY))
