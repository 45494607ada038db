"""When the parts of a step that serve many steps are computed anew."""

from __future__ import annotations

import math
from typing import Any
from typing import NamedTuple

from keras import ops

Tensor = Any

# While steps are few, factors are computed whenever their number has grown by this.
GROWTH = 2.0
# First steps, each of which is observed.
EARLY = 20


class Due(NamedTuple):
    """What a step computes anew.

    Attributes:
        moments: whether the running moments of inputs and signal.
        factors: whether the factors, from the moments, and the direction, which
            follows the batches otherwise; the moments then, too.
        taken: steps that came before.
    """

    moments: Tensor
    factors: Tensor
    taken: Tensor


def due_at(taken: Tensor, moment_refresh: int, factor_refresh: int) -> Due:
    """What the step after `taken` others computes anew.

    Factors also when the number of steps has doubled, and moments in each of
    the first steps, when both change fast.
    """
    taken = ops.cast(taken, "int32")
    growth = [
        ops.floor(ops.log(ops.cast(t, "float32") + 1.0) / math.log(GROWTH))
        for t in (taken, ops.maximum(taken - 1, 0))
    ]
    grown = ops.logical_or(ops.equal(taken, 0), ops.not_equal(*growth))
    early = ops.logical_and(grown, taken < factor_refresh)
    factors = ops.logical_or(early, ops.equal(taken % factor_refresh, 0))
    soon = ops.logical_or(factors, taken < EARLY)
    moments = ops.logical_or(soon, ops.equal(taken % moment_refresh, 0))
    return Due(moments, factors, taken)
