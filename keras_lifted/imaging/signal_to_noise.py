"""Peak signal-to-noise ratio."""

from __future__ import annotations

import math
from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.imaging.pairs import check_range
from keras_lifted.imaging.pairs import pair

Tensor = Any


def psnr(a: Tensor, b: Tensor, data_range: float | None = None) -> Tensor:
    """Return `10 log₁₀(data_range² / mean (a − b)²)` of each image, in dB.

    Args:
        a: tensor. Images, `(batch, height, width, channels)`; any shape with a batch.
        b: tensor. Images of the same shape.
        data_range: float. The difference of the largest and smallest possible value.
            None is 1 for floats, with a warning where values lie beyond ±2, and the
            largest value of the dtype for uint8, uint16 and bool. Defaults to None.

    Returns:
        `(batch,)`; infinite where two images are equal.

    Raises:
        ValueError: If the shapes or the integer dtypes differ, `data_range` is not
            positive, or is needed for integers of other dtypes.

    Source: skimage.metrics.peak_signal_noise_ratio, with which it agrees.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> a = np.zeros((1, 2, 2, 1), "float32")
    >>> round(float(kl.imaging.psnr(a, a + 0.1)[0]), 3)
    20.0
    """
    a, b, data_range = pair("psnr", a, b, data_range)
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
        data_range: float. As for `psnr`; images of integers need it, because Keras
            casts what a metric is given to floats. Defaults to None.
        name: str. The name of the metric. Defaults to "psnr".
        dtype: str. The dtype of the result. Defaults to None.

    Raises:
        ValueError: If `data_range` is not positive.

    Example:

    >>> import keras_lifted as kl
    >>> metric = kl.imaging.PSNR()
    >>> metric.update_state([[[[0.0]]]], [[[[0.1]]]])
    >>> round(float(metric.result()), 3)
    20.0
    """

    def __init__(
        self, data_range: float | None = None, name: str = "psnr", dtype: Any = None
    ) -> None:
        self.data_range = check_range("PSNR", data_range)
        super().__init__(psnr, name=name, dtype=dtype, data_range=data_range)
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return {"data_range": self.data_range, "name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> PSNR:
        return cls(**config)
