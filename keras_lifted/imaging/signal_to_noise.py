"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.imaging.pairs import pair
from keras_lifted.layers import checks

Tensor = Any


def psnr(a: Tensor, b: Tensor, data_range: float = 1.0) -> Tensor:
    """`10 log₁₀(data_range² / mean (a − b)²)` of each image, in dB.

    Args:
        a: images, `(batch, height, width, channels)`; any shape with a batch.
        b: images of the same shape.
        data_range: difference of the largest and smallest possible value.

    Returns:
        `(batch,)`; infinite where two images are equal.

    Raises:
        ValueError: if the shapes differ, or `data_range` is not positive.

    Source: skimage.metrics.peak_signal_noise_ratio, with which it agrees.

    Example:

    >>> import keras_lifted as kl
    >>> import numpy as np
    >>> a = np.zeros((1, 2, 2, 1), "float32")
    >>> round(float(kl.imaging.psnr(a, a + 0.1)[0]), 3)
    20.0
    """
    data_range = checks.positive("psnr", "data_range", data_range)
    a, b = pair("psnr", a, b)
    axes = tuple(range(1, len(a.shape)))
    error = ops.mean(ops.square(a - b), axis=axes)
    decibels = 20.0 * math.log10(data_range) - 10.0 / math.log(10.0) * ops.log(
        ops.where(error == 0, 1.0, error)
    )
    return ops.where(error == 0, float("inf"), decibels)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class PSNR(keras.metrics.MeanMetricWrapper):
    """The mean of `psnr` over images, in dB, as a Keras metric.

    Args:
        data_range: difference of the largest and smallest possible value.
        name: of the metric.
        dtype: of the result.

    Raises:
        ValueError: if `data_range` is not positive.

    Example:

    >>> import keras_lifted as kl
    >>> metric = kl.imaging.PSNR()
    >>> metric.update_state([[[[0.0]]]], [[[[0.1]]]])
    >>> round(float(metric.result()), 3)
    20.0
    """

    def __init__(
        self, data_range: float = 1.0, name: str = "psnr", dtype: Any = None
    ) -> None:
        super().__init__(psnr, name=name, dtype=dtype, data_range=data_range)
        self.data_range = checks.positive("PSNR", "data_range", data_range)
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return {"data_range": self.data_range, "name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PSNR:
        return cls(**config)
