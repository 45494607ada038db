"""How much of a gradient is signal, and how much the noise of its batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.lockstep import Anew
from keras_lifted.geometries.lockstep import Parts
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.refresh import Due

Tensor = Any

# Of a running share, between two measurements.
KEEP = 0.9
# The share of a sample that is assumed where nothing tells it.
UNMEASURED = 0.02
# Rows that are compared with each other.
ROWS = 256


@dataclasses.dataclass(frozen=True)
class Signal:
    """The signal's share in the gradients of one kernel.

    Attributes:
        sample: running share in one sample's squared gradient, `()`.
        count: samples of the last batch, `()`.
    """

    sample: keras.Variable
    count: keras.Variable

    @classmethod
    def build(cls, add: Callable[..., keras.Variable]) -> Signal:
        """The variables from `add(name, shape, initializer)`."""
        unmeasured = keras.initializers.Constant(UNMEASURED)
        return cls(add("signal", (), unmeasured), add("count", (), "zeros"))

    def measure(self, rows: Tensor, displacements: Tensor, due: Due) -> Parts[None]:
        """Take a batch in, where moments are due.

        Args:
            rows: inputs less their running mean, `(B, n)`.
            displacements: `δ`, `(B, m)`.
            due: what the step computes anew.
        """
        known = ops.convert_to_tensor(self.sample)

        def measured() -> Tensor:
            new = sample_share(rows, displacements)
            keep = ops.where(ops.equal(due.taken, 0), 0.0, KEEP)
            new = keep * known + (1.0 - keep) * new
            return ops.where(ops.isfinite(new), new, known)

        self.sample.assign((yield Anew(due.moments, measured, known)))

    def assume(self, others: Sequence[Signal]) -> None:
        """Take the signal to be as strong as in `others`, on average."""
        self.sample.assign(sum(each.sample for each in others) / len(others))

    @property
    def share(self) -> Tensor:
        """Its part of the squared gradient of a batch, `()`."""
        return batch_share(self.sample, self.count)


def sample_share(rows: Tensor, displacements: Tensor) -> Tensor:
    """Part `‖S‖²/(‖S‖² + σ²)` of a sample's squared gradient that is signal.

    The gradient of a batch is `Σ_i a_i δ_iᵀ`, `S` the mean and `σ²` the variance
    of one term. Different samples have no noise in common, so `‖S‖²` is the mean
    of `(a_i·a_j)(δ_i·δ_j)` over `i ≠ j`, and over `i = j` it is `‖S‖² + σ²`. The
    share is at most 1; that of little signal scatters about it, below zero too.

    Args:
        rows: `a`, `(B, n)`.
        displacements: `δ`, `(B, m)`.
    """
    rows, displacements = (_unit(part[:ROWS]) for part in (rows, displacements))
    count = ops.cast(ops.shape(rows)[0], rows.dtype)
    products = ops.matmul(rows, ops.transpose(rows)) * ops.matmul(
        displacements, ops.transpose(displacements)
    )
    own = ops.sum(ops.diagonal(products))
    others = ops.sum(products) - own
    return others / ops.maximum(count - 1.0, 1.0) / (own + TINY)


def batch_share(share: Tensor, count: Tensor) -> Tensor:
    """The same of the gradient of `count` samples, whose noise is `σ²/count`."""
    share = ops.clip(share, 0.0, 1.0)
    return share / (share + (1.0 - share) / ops.maximum(count, 1.0))


def _unit(part: Tensor) -> Tensor:
    return part / (ops.max(ops.abs(part)) + TINY)
