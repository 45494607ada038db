"""The running mean of gradients along which a step goes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any

# The least part of the longest mean; a share of noise of 1/NOISE and more takes all.
SHORTEST, NOISE = 0.25, 2.0


def keep_at(taken: Tensor, momentum: float) -> Tensor:
    """`min(momentum, t/(t + 1))` after t steps: what the mean keeps of itself.

    The first mean is the first gradient, so that the weights of all sum up to one.
    """
    taken = ops.cast(taken, "float32")
    return ops.minimum(momentum, taken / (taken + 1.0))


def recent(
    keep: Tensor, momentum: float, signal: Tensor | None, part: Tensor
) -> Tensor:
    """`keep`, of a mean over no more gradients than serve it.

    A mean over T gradients has 1/T of their noise and is T/2 steps old. Where a batch
    has little noise and steps change the loss fast, fewer are better: the part
    `f = min(1, max(p, 2(1 − s), 1/4))` of the `1/(1 − momentum)` that are taken at
    most, which is `min(keep, 1 − (1 − momentum)/f)`.

    Args:
        keep: from `keep_at`.
        momentum: the same.
        signal: `s`, its part in the squared gradient of a batch, `()`; None where
            nothing tells it: a quarter is taken then.
        part: `p`, of a step that the promised decrease of the loss leaves, `()`;
            it is 1 on plateaus, where gradients hardly change.
    """
    used: Any = SHORTEST
    if signal is not None:
        used = ops.maximum(ops.cast(part, signal.dtype), NOISE * (1.0 - signal))
        used = ops.clip(used, SHORTEST, 1.0)
    return ops.minimum(keep, ops.maximum(0.0, 1.0 - (1.0 - momentum) / used))


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
