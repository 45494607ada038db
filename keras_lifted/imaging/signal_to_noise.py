"""Peak signal-to-noise ratio, and how images are compared."""

from __future__ import annotations

import warnings
from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.layers import checks
from keras_lifted.layers.precision import as_real
from keras_lifted.layers.precision import dtype_of

Tensor = Any

# Dtype of an image -> its largest value.
_LARGEST = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0}


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
    decibels = 10.0 * ops.log10(data_range**2 / ops.where(error == 0, 1.0, error))
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
        return arguments_of(self)


def pair(
    owner: str, a: Tensor, b: Tensor, data_range: float | None
) -> tuple[Tensor, Tensor, float]:
    """Return both in one dtype, float32 or float64, and the range of their values."""
    data_range = check_range(owner, data_range)
    a, b = (i if hasattr(i, "shape") else ops.convert_to_tensor(i) for i in (a, b))
    same = len(a.shape) == len(b.shape) and all(
        m is None or n is None or m == n for m, n in zip(a.shape, b.shape, strict=True)
    )
    if not same or len(a.shape) < 2:
        raise ValueError(
            f"{owner} compares two batches of images of one shape, (batch, height, "
            f"width, channels). Received: shapes {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    if data_range is None:
        data_range = _range_of(owner, a, b)
    a, b = as_real(a), as_real(b)
    if "float64" in (dtype_of(a), dtype_of(b)):
        a, b = ops.cast(a, "float64"), ops.cast(b, "float64")
    return a, b, data_range


def check_range(owner: str, data_range: Any) -> float | None:
    """Return a positive number, or None, or raise a ValueError."""
    if data_range is None:
        return None
    return checks.positive(owner, "data_range", data_range)


def _range_of(owner: str, a: Tensor, b: Tensor) -> float:
    kinds = {dtype_of(a), dtype_of(b)}
    if not any("float" in kind for kind in kinds):
        if len(kinds) == 1 and kinds <= set(_LARGEST):
            return _LARGEST[kinds.pop()]
        raise ValueError(
            f"The range of images of dtypes {sorted(kinds)} is not known. Pass it to "
            f"{owner}, e.g. data_range=255.0."
        )
    try:
        largest = max(float(np.abs(np.asarray(each)).max()) for each in (a, b))
    except Exception:  # a tensor without a value, within a graph
        return 1.0
    if largest > 2.0:
        warnings.warn(
            f"{owner} takes floats for values from 0 to 1, but they reach "
            f"{largest:.3g}. Pass data_range, e.g. 255.0.",
            stacklevel=4,
        )
    return 1.0
