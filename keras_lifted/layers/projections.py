"""Projections onto convex sets."""

import abc
from typing import Any, final

import keras
import numpy as np
from keras import ops

from keras_lifted import checks
from keras_lifted.checks import check_array
from keras_lifted.layers.base import Activation
from keras_lifted.layers.formulas import (
    clip,
    clip_difference,
    norm,
    on_simplex,
    restrict,
    shrink_difference,
    tolerance,
)
from keras_lifted.layers.precision import Tensor, wide


class Projection(Activation):
    """The projection onto a convex set, which is its proximal map for every step."""

    @abc.abstractmethod
    def holds(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return whether entries of `x` are those of a point of the set."""

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        s = self.sigma(z, *parameters)
        return s * (z - 0.5 * s)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(self.holds(x, *parameters), ops.zeros_like(x))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return self.sigma(v, *parameters)


class Clip(Projection):
    """The projection of each entry onto an interval."""

    @abc.abstractmethod
    def bounds(self, like: Tensor, *parameters: Tensor) -> tuple[Any, Any]:
        """Return both ends, which broadcast against `like`."""

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return clip(z, *self.bounds(z, *parameters))

    def holds(self, x: Tensor, *parameters: Tensor) -> Tensor:
        low, high = self.bounds(x, *parameters)
        return (x >= low) & (x <= high)

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return clip_difference(z, d, *self.bounds(z, *parameters))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class HardTanh(Clip):
    """`σ(z) = min(max(z, a), b)`, the projection onto `[a, b]`.

    `Ψ(x) = 0` on `[a, b]`, +∞ elsewhere; `F*(z) = z σ(z) − ½ σ(z)²`.

    Args:
        min_value: float. The lower end `a`. Defaults to -1.0.
        max_value: float. The upper end `b`, greater than `a`. Defaults to 1.0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If an end is not finite, or `max_value <= min_value`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.HardTanh()(np.array([[-3.0, 0.5, 2.0]]))).tolist()
    [[-1.0, 0.5, 1.0]]
    """

    def __init__(
        self, min_value: float = -1.0, max_value: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.min_value, self.max_value = checks.interval(
            "HardTanh",
            ("min_value", min_value),
            ("max_value", max_value),
            "pass -1.0",
        )

    @property
    def bent_at_zero(self) -> bool:  # type: ignore[override]
        return self.min_value == 0

    def bounds(self, like: Tensor, *parameters: Tensor) -> tuple[Any, Any]:
        return self.min_value, self.max_value


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class BoxProjection(Clip):
    """`σ(z) = min(max(z, lower), upper)`, each entry with its own bounds.

    `Ψ(x) = 0` in the box, +∞ elsewhere; `F*(z) = z σ(z) − ½ σ(z)²`.

    Args:
        lower: float or array. The lower bound, which broadcasts against a batch; −∞
            where there is none. Defaults to 0.0.
        upper: float or array. The upper bound, likewise, nowhere below `lower`; +∞
            where there is none. Defaults to 1.0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If a bound is not a number, or `lower > upper` anywhere.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> box = kl.layers.BoxProjection(lower=[0.0, 1.0], upper=2.0)
    >>> np.array(box(np.array([[-1.0, 3.0]]))).tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, lower: Any = 0.0, upper: Any = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        low = check_array("lower", lower, owner="BoxProjection")
        high = check_array("upper", upper, owner="BoxProjection")
        try:
            ordered = bool(np.all(low <= high))  # False for NaN
        except ValueError:
            ordered = False
        if not ordered:
            raise ValueError(
                "`lower` and `upper` of BoxProjection must be numbers that broadcast "
                "with lower <= upper everywhere; exchange them if they are the wrong "
                "way round, and pass -inf or inf for no bound. "
                f"Received: lower={lower!r}, upper={upper!r}"
            )
        self.lower, self.upper = low.tolist(), high.tolist()

    def bounds(self, like: Tensor, *parameters: Tensor) -> tuple[Any, Any]:
        low = ops.convert_to_tensor(self.lower, dtype=like.dtype)
        return low, ops.convert_to_tensor(self.upper, dtype=like.dtype)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SimplexProjection(Projection):
    """`σ(z)` is the point of the simplex `{x ≥ 0, Σx = r}` nearest to `z`.

    `Ψ(x) = 0` on the simplex, +∞ elsewhere; `F*(z) = ⟨z, σ(z)⟩ − ½‖σ(z)‖²`. The sum
    of `x` may be off by rounding: 5e-3 of `r`, or 1e-5 of it in float64.

    Args:
        axis: int. The axis along which entries sum to `r`. Defaults to -1.
        radius: float. `r > 0`, in the unit of `z`. Defaults to 1.0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `radius` is not positive and finite, or a sample has no such
            `axis`.

    Source: Duchi et al., "Efficient projections onto the l1-ball", ICML 2008; Martins &
    Astudillo, "From softmax to sparsemax", ICML 2016.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.SimplexProjection()(np.array([[0.5, 0.0, -9.0]]))).tolist()
    [[0.75, 0.25, 0.0]]
    """

    separable = False

    def __init__(self, axis: int = -1, radius: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = checks.axis("SimplexProjection", axis)
        self.radius = checks.positive("SimplexProjection", "radius", radius)

    def _shifted(self, z: Tensor) -> Tensor:
        """Return `z − θ`, whose positive part is the projection."""
        z = z - ops.max(z, axis=self.axis, keepdims=True)
        # Entries `r` below the largest are never in the support.
        z = ops.maximum(z, -self.radius)
        last = ops.moveaxis(z, self.axis, -1)
        falling = -ops.sort(-last, axis=-1)
        excess = ops.cumsum(falling, axis=-1) - self.radius
        rank = ops.arange(1, last.shape[-1] + 1, dtype=z.dtype)
        theta = ops.max(excess / rank, axis=-1, keepdims=True)
        return z - ops.moveaxis(theta, -1, self.axis)

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.relu(self._shifted(z))

    def holds(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return on_simplex(x, self.axis, self.radius)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = self._shifted(z), self._shifted(z - d)
        support = a > 0
        here = ops.cast(support, z.dtype)
        count = ops.sum(here, axis=self.axis, keepdims=True)
        mean = ops.sum(here * d, axis=self.axis, keepdims=True) / count
        same = ops.all(support == (b > 0), axis=self.axis, keepdims=True)
        return ops.where(same, here * (d - mean), ops.relu(a) - ops.relu(b))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class L2BallProjection(Projection):
    """`σ(z) = z · min(1, r/‖z‖₂)`.

    `Ψ(x) = 0` for `‖x‖₂ ≤ r`, +∞ elsewhere; `F*(z) = ½‖z‖² − ½ max(‖z‖ − r, 0)²`. The
    norm of `x` may exceed `r` by rounding: 5e-3 of `r`, or 1e-5 of it in float64.

    Args:
        radius: float. `r > 0`, in the unit of `z`. Defaults to 1.0.
        axis: int or tuple. The axis or axes over which the norm is taken; None for the
            whole sample. Defaults to -1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `radius` is not positive and finite, or a sample has no such
            `axis`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.L2BallProjection(2.5)(np.array([[3.0, 4.0]]))).tolist()
    [[1.5, 2.0]]
    """

    separable = False

    def __init__(
        self,
        radius: float = 1.0,
        axis: int | tuple[int, ...] | None = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.radius = checks.positive("L2BallProjection", "radius", radius)
        self.axis = checks.axes("L2BallProjection", axis)

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return z * (self.radius / ops.maximum(norm(z, self.axis), self.radius))

    def holds(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return norm(x, self.axis) <= self.radius * (1.0 + tolerance(x))

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return d - shrink_difference(z, d, self.radius, self.axis)
