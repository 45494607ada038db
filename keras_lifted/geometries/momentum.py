"""The running mean of gradients along which a step goes."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any

# Steps of the shortest mean; with a share of noise of 1/NOISE and more it is longest.
SHORTEST, NOISE = 5.0, 2.0


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
    has little noise and steps change the loss fast, fewer are better: of the
    `1/(1 − momentum)` that are taken at most the part `f = min(1, max(p, 2(1 − s)))`,
    at least five, so `min(keep, max(1 − (1 − momentum)/f, min(momentum, 4/5)))`.

    Args:
        keep: from `keep_at`.
        momentum: the same.
        signal: `s`, its part in the squared gradient of a batch, `()`; None where
            nothing tells it: five are taken then.
        part: `p`, of a step that the promised decrease of the loss leaves, `()`;
            it is 1 on plateaus, where gradients hardly change.
    """
    least = min(momentum, 1.0 - 1.0 / SHORTEST)
    if signal is None:
        return ops.minimum(keep, least)
    used = ops.maximum(ops.cast(part, signal.dtype), NOISE * (1.0 - signal))
    used = ops.clip(used, 1e-3, 1.0)
    return ops.minimum(keep, ops.maximum(least, 1.0 - (1.0 - momentum) / used))


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
