"""Total variation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.formulas import clip
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.norms import norm
from keras_lifted.layers.norms import shrink
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class TotalVariation(Regularizer):
    """`R(u) = weight · Σ_pixels ‖(∇u)_pixel‖`, ∇ the forward differences.

    Isotropic: the Euclidean norm of the differences along all sides. Anisotropic:
    the sum of their absolute values. The difference past the last pixel is 0.
    Channels do not mix. `‖∇‖² ≤ 4 · sides`.

    Args:
        weight: positive.
        isotropic: which norm.
        shape: of one sample as an image, `(height, width)` or `(height, width,
            channels)`, or `(length,)`; for networks whose inputs are flat. None:
            inputs are `(batch, *sides, channels)`, or flat signals `(batch, length)`.

    Raises:
        ValueError: if `weight` is not positive, `isotropic` no bool, `shape` no
            shape, or a sample has another number of entries.

    Source: Rudin, Osher, Fatemi, 1992; Chambolle & Pock, 2011, section 6.

    Example:

    >>> import keras_lifted as kl
    >>> float(kl.regularizers.TotalVariation(0.5)([[0.0, 1.0, 3.0]])[0])
    1.5
    """

    def __init__(
        self,
        weight: float = 1.0,
        isotropic: bool = True,
        shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__(weight)
        self.isotropic = checks.flag("TotalVariation", "isotropic", isotropic)
        self.shape = None if shape is None else _checked_shape(shape)

    def operator_bound(self, shape: tuple[int, ...]) -> float:
        """`‖∇‖² ≤ 4` for each side of the image."""
        sides = max(1, len(shape) - 1) if self.shape is None else len(self.shape[:2])
        return 4.0 * sides

    def operator(self, u: Tensor) -> Tensor:
        """Forward differences, `(batch, *sides, channels, number of sides)`."""
        u = self._image(u)
        axes = range(1, len(u.shape) - 1)
        return ops.stack([_forward_difference(u, axis) for axis in axes], axis=-1)

    def value(self, v: Tensor) -> Tensor:
        return sum_per_sample(norm(v, -1) if self.isotropic else ops.abs(v))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return shrink(v, step, -1) if self.isotropic else v - clip(v, -step, step)

    def _image(self, u: Tensor) -> Tensor:
        if self.shape is None:
            return u[..., None] if len(u.shape) == 2 else u
        sizes = u.shape[1:]
        if math.prod(sizes) != math.prod(self.shape):
            raise ValueError(
                "`shape` of TotalVariation must hold as many entries as a sample. "
                f"Received: shape={self.shape}, samples of shape {tuple(sizes)}."
            )
        channels = () if len(self.shape) == 3 else (1,)
        return ops.reshape(u, (-1, *self.shape, *channels))


def _forward_difference(u: Tensor, axis: int) -> Tensor:
    size = u.shape[axis]
    low = [slice(None)] * len(u.shape)
    high = list(low)
    low[axis], high[axis] = slice(0, size - 1), slice(1, size)
    widths = [(0, 0)] * len(u.shape)
    widths[axis] = (0, 1)
    return ops.pad(u[tuple(high)] - u[tuple(low)], widths)


def _checked_shape(shape: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(int(size) for size in shape)
        good = 1 <= len(sizes) <= 3 and min(sizes) > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "`shape` of TotalVariation must be (height, width), (height, width, "
            f"channels) or (length,). Received: shape={shape!r}"
        )
    return sizes
