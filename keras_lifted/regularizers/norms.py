"""Norms of the image itself, and constraints on it."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted import checks
from keras_lifted.layers.formulas import clip, norm, restrict, shrink
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Tikhonov(Regularizer):
    """`R(u) = weight · ½‖u‖²`.

    Args:
        weight: float. A positive factor. Defaults to 1.0.

    Raises:
        ValueError: If `weight` is not positive and finite.

    Source: Tikhonov, 1963.

    Example:

    >>> import keras_lifted as kl
    >>> float(kl.regularizers.Tikhonov(2.0)([[1.0, 3.0]])[0])
    10.0
    """

    def value(self, v: Tensor) -> Tensor:
        return 0.5 * sum_per_sample(ops.square(v))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v / (1.0 + step)

    def conjugate(self, v: Tensor, factor: Tensor) -> Tensor:
        return 0.5 * sum_per_sample(ops.square(v)) / factor

    def support(self, v: Tensor, level: Tensor) -> Tensor:
        return ops.sqrt(2.0 * level * sum_per_sample(ops.square(v)))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class L1(Regularizer):
    """`R(u) = weight · ‖u‖₁`: few entries that are not 0.

    Args:
        weight: float. A positive factor. Defaults to 1.0.

    Raises:
        ValueError: If `weight` is not positive and finite.

    Source: Daubechies, Defrise, De Mol, 2004.

    Example:

    >>> import keras_lifted as kl
    >>> float(kl.regularizers.L1(2.0)([[1.0, -3.0]])[0])
    8.0
    """

    def value(self, v: Tensor) -> Tensor:
        return sum_per_sample(ops.abs(v))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v - clip(v, -step, step)

    def dual_norm(self, v: Tensor) -> Tensor:
        return largest_per_sample(ops.abs(v))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class GroupSparsity(Regularizer):
    """`R(u) = weight · Σ_groups ‖u_group‖₂`: few groups that are not 0.

    Args:
        weight: float. A positive factor. Defaults to 1.0.
        axis: int or tuple. The axis or axes that make a group; -1 for the channels.
            Defaults to -1.

    Raises:
        ValueError: If `weight` is not positive, or `axis` is not an axis of a sample.

    Source: Yuan & Lin, 2006.

    Example:

    >>> import keras_lifted as kl
    >>> float(kl.regularizers.GroupSparsity(2.0)([[3.0, 4.0]])[0])
    10.0
    """

    def __init__(
        self, weight: float = 1.0, axis: int | tuple[int, ...] | None = -1
    ) -> None:
        super().__init__(weight)
        self.axis = checks.axes("GroupSparsity", axis)

    def value(self, v: Tensor) -> Tensor:
        return sum_per_sample(norm(v, self.axis))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return shrink(v, step, self.axis)

    def dual_norm(self, v: Tensor) -> Tensor:
        return largest_per_sample(norm(v, self.axis))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class NonNegative(Regularizer):
    """`R(u) = 0` for `u ≥ 0`, +∞ elsewhere.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.regularizers.NonNegative()([[1.0], [-1.0]])).tolist()
    [0.0, inf]
    """

    constraint = True

    def __init__(self) -> None:
        super().__init__()

    def value(self, v: Tensor) -> Tensor:
        return sum_per_sample(restrict(v >= 0, ops.zeros_like(v)))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return ops.relu(v)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Box(Regularizer):
    """`R(u) = 0` for `low ≤ u ≤ high`, +∞ elsewhere.

    Args:
        low: float. The least value of a pixel. Defaults to 0.0.
        high: float. The greatest, more than `low`. Defaults to 1.0.

    Raises:
        ValueError: If an end is not finite, or `high <= low`.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.regularizers.Box(0.0, 1.0)([[1.0], [2.0]])).tolist()
    [0.0, inf]
    """

    constraint = True

    def __init__(self, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.low, self.high = checks.interval(
            "Box", ("low", low), ("high", high), "pass 0.0"
        )

    def value(self, v: Tensor) -> Tensor:
        inside = (v >= self.low) & (v <= self.high)
        return sum_per_sample(restrict(inside, ops.zeros_like(v)))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return clip(v, self.low, self.high)

    def conjugate(self, v: Tensor, factor: Tensor) -> Tensor:
        return self.support(v, factor)

    def support(self, v: Tensor, level: Tensor) -> Tensor:
        return sum_per_sample(ops.maximum(self.low * v, self.high * v))


def largest_per_sample(v: Tensor) -> Tensor:
    """Return the largest entry of each sample, `(batch,)`."""
    return ops.max(ops.reshape(v, (v.shape[0], -1)), axis=1)
