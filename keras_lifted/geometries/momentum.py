"""The running mean of gradients along which a step goes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


def keep_at(taken: Tensor, momentum: float) -> Tensor:
    """`min(momentum, t/(t + 1))` after t steps: what the mean keeps of itself.

    The first mean is the first gradient, so that the weights of all sum up to one.
    """
    taken = ops.cast(taken, "float32")
    return ops.minimum(momentum, taken / (taken + 1.0))


def blend(mean: Tensor, value: Tensor, keep: Tensor) -> Tensor:
    """`keep · mean + (1 − keep) · value`: the mean with a value taken in.

    Once more, with the same value, it looks ahead to the mean after the next step.

    Source: Nesterov, 1983, as in Sutskever et al., "On the importance of
    initialization and momentum in deep learning", ICML 2013.
    """
    keep = ops.cast(keep, value.dtype)
    return keep * mean + (1.0 - keep) * value


def average(variable: keras.Variable, value: Tensor, keep: Tensor) -> Tensor:
    """Let the running mean `variable` take `value` in; what lies ahead of it."""
    mean = blend(variable, value, keep)
    variable.assign(mean)
    return blend(mean, value, keep)
