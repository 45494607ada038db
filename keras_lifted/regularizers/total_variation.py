"""Total variation."""

import math
from collections.abc import Sequence
from typing import Any, final

import keras
from keras import ops

from keras_lifted import checks
from keras_lifted.layers.formulas import clip, norm, shrink
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class TotalVariation(Regularizer):
    """`R(u) = weight · Σ_pixels ‖(∇u)_pixel‖`, ∇ the forward differences.

    The isotropic norm is the Euclidean one of the differences along all sides, the
    other the sum of their absolute values. The difference past the last pixel is 0.
    Channels do not mix. `‖∇‖² ≤ 4 · sides`.

    Args:
        weight: float. A positive factor. Defaults to 1.0.
        isotropic: bool. Whether the norm is isotropic. Defaults to True.
        shape: tuple. The shape of one sample as an image, `(height, width)` or
            `(height, width, channels)`, or `(length,)`; for networks whose inputs are
            flat. Defaults to None.
        axes: tuple. The sides of the image among the axes of the inputs, the batch
            being axis 0; `(1,)` for signals `(batch, length, channels)`. None: all but
            the channels, which are where `keras.config.image_data_format()` has them;
            inputs of three or two axes, `(batch, height, width)` and `(batch, length)`,
            have none. Defaults to None.

    Raises:
        ValueError: If `weight` is not positive, `isotropic` is not a bool, `shape` is
            not a shape, a sample has another number of entries, or inputs have fewer
            axes.

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
        axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(weight)
        self.isotropic = checks.flag("TotalVariation", "isotropic", isotropic)
        self.shape = self.axes = None
        if shape is not None:
            kinds = "(height, width), (height, width, channels) or (length,)"
            self.shape = _positive("shape", shape, kinds, 3)
        if axes is not None:
            kinds = "positive integers, axis 0 being the batch"
            self.axes = tuple(sorted(set(_positive("axes", axes, kinds))))

    def operator_bound(self, shape: tuple[int, ...]) -> float:
        """Return the bound `‖∇‖² ≤ 4` of each side, summed over the sides."""
        return 4.0 * len(self._sides(1 + len(self.shape or shape)))

    def operator(self, u: Tensor) -> Tensor:
        """Return forward differences: the shape of the image, then its sides."""
        u = self._image(u)
        differences = []
        for side in self._sides(len(u.shape)):
            widths = [(0, int(axis == side)) for axis in range(len(u.shape))]
            differences.append(ops.pad(ops.diff(u, axis=side), widths))
        return ops.stack(differences, axis=-1)

    def value(self, v: Tensor) -> Tensor:
        return sum_per_sample(norm(v, -1) if self.isotropic else ops.abs(v))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return shrink(v, step, -1) if self.isotropic else v - clip(v, -step, step)

    def _image(self, u: Tensor) -> Tensor:
        if self.shape is None:
            return u
        sizes = u.shape[1:]
        if math.prod(sizes) != math.prod(self.shape):
            raise ValueError(
                "`shape` of TotalVariation must hold as many entries as a sample. "
                f"Received: shape={self.shape}, samples of shape {tuple(sizes)}."
            )
        return ops.reshape(u, (-1, *self.shape))

    def _sides(self, rank: int) -> tuple[int, ...]:
        """Return the axes along which differences are taken."""
        if self.axes is not None:
            if max(self.axes) >= rank:
                raise ValueError(
                    "`axes` of TotalVariation must be axes of the inputs. Received: "
                    f"axes={self.axes}, inputs with {rank} axes."
                )
            return self.axes
        if self.shape is not None:
            return tuple(range(1, 1 + len(self.shape[:2])))
        if rank < 4:
            return tuple(range(1, rank))
        first = keras.config.image_data_format() == "channels_first"
        return tuple(range(1 + first, rank - 1 + first))


def _positive(
    name: str, value: Any, expected: str, most: int | None = None
) -> tuple[int, ...]:
    """Return one or more positive integers, and at most so many."""
    try:
        numbers = tuple(int(number) for number in value)
        good = min(numbers) > 0 and numbers == numbers[:most]
    except (TypeError, ValueError):
        good = False
    if good:
        return numbers
    raise ValueError(
        f"`{name}` of TotalVariation must be {expected}. Received: {name}={value!r}"
    )
