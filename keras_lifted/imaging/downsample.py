"""Lower resolution."""

from __future__ import annotations

import numbers
from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.imaging.base import Degradation
from keras_lifted.imaging.base import Tensor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Downsample(Degradation):
    """The means of squares of `factor × factor` pixels.

    Args:
        factor: a positive integer that divides height and width.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if `factor` is no positive integer, or divides not the sides.

    Source: the detector model of super-resolution; skimage's downscale_local_mean.

    Example:

    >>> import keras_lifted as kl
    >>> import numpy as np
    >>> image = np.arange(4.0, dtype="float32").reshape(1, 2, 2, 1)
    >>> kl.imaging.Downsample(2)(image).numpy().ravel().tolist()
    [1.5]
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        whole = isinstance(factor, numbers.Integral) and not isinstance(factor, bool)
        if not whole or factor < 1:
            raise ValueError(
                "`factor` of Downsample must be a positive integer. "
                f"Received: factor={factor!r}"
            )
        self.factor = int(factor)

    def degrade(self, x: Tensor) -> Tensor:
        for side in x.shape[1:3]:
            if side is not None and side % self.factor:
                raise ValueError(
                    "`factor` of Downsample must divide height and width; crop the "
                    f"images first. Received: factor={self.factor}, images of shape "
                    f"{tuple(x.shape)}."
                )
        return ops.average_pool(
            x,
            self.factor,
            strides=self.factor,
            padding="valid",
            data_format="channels_last",
        )

    def input_shape_of(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        batch, height, width, channels = shape
        return batch, height * self.factor, width * self.factor, channels

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, channels = input_shape
        sides = [side and side // self.factor for side in (height, width)]
        return batch, *sides, channels
