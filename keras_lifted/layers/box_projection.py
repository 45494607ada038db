"""The projection onto a box."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import clip
from keras_lifted.layers.formulas import clip_difference
from keras_lifted.layers.precision import Tensor


def _bound(name: str, value: Any) -> Any:
    """Return `value` as a float or nested lists of floats."""
    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    if np.isnan(array).any():
        raise ValueError(
            f"`{name}` of BoxProjection must be a number or an array of numbers; "
            f"pass -inf or inf for no bound. Received: {name}={value!r}"
        )
    return array.tolist()


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class BoxProjection(ProximalActivation):
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
    >>> box(np.array([[-1.0, 3.0]])).numpy().tolist()
    [[0.0, 2.0]]
    """

    def __init__(self, lower: Any = 0.0, upper: Any = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lower = _bound("lower", lower)
        self.upper = _bound("upper", upper)
        try:
            ordered = bool(np.all(np.asarray(self.lower) <= np.asarray(self.upper)))
        except ValueError:
            ordered = False
        if not ordered:
            raise ValueError(
                "`lower` and `upper` of BoxProjection must broadcast with "
                "lower <= upper everywhere; exchange them if they are the wrong way "
                f"round. Received: lower={lower!r}, upper={upper!r}"
            )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "lower": self.lower, "upper": self.upper}

    def _bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        low = ops.convert_to_tensor(self.lower, dtype=like.dtype)
        return low, ops.convert_to_tensor(self.upper, dtype=like.dtype)

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return clip(z, *self._bounds(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        s = self.sigma(z)
        return s * (z - 0.5 * s)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        low, high = self._bounds(x)
        return restrict((x >= low) & (x <= high), ops.zeros_like(x))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return self.sigma(v)

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return clip_difference(z, d, *self._bounds(z))
