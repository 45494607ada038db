"""Measures of the quality of images."""

import math
import warnings
from typing import Any, final

import keras
import numpy as np
from keras import ops

from keras_lifted import checks
from keras_lifted.arguments import arguments_of
from keras_lifted.imaging.blurs import gaussian as gaussian_profile
from keras_lifted.imaging.convolution import convolve_sides
from keras_lifted.layers.precision import as_real, dtype_of

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
    a, b, data_range = _pair("psnr", a, b, data_range)
    axes = tuple(range(1, len(a.shape)))
    error = ops.mean(ops.square(a - b), axis=axes)
    decibels = 10.0 * ops.log10(ops.where(error == 0, 1.0, error))
    decibels = 20.0 * math.log10(data_range) - decibels
    return ops.where(error == 0, float("inf"), decibels)


def ssim(
    a: Tensor, b: Tensor, data_range: float | None = None, gaussian: bool = False
) -> Any:
    """Return the structural similarity of each pair of images.

        mean (2μ_a μ_b + c₁)(2σ_ab + c₂) / ((μ_a² + μ_b² + c₁)(σ_a² + σ_b² + c₂))

    with means, variances and covariance over windows, `c₁ = (0.01 r)²`,
    `c₂ = (0.03 r)²`, `r` the data range; the mean is over windows within the image,
    and over channels.

    Args:
        a: tensor. Images, `(batch, height, width, channels)`.
        b: tensor. Images of the same shape.
        data_range: float. As for `psnr`. Defaults to None.
        gaussian: bool. Whether windows have 11 × 11 pixels with Gaussian weights, σ =
            1.5, and population variances, as in the paper; otherwise 7 × 7 pixels of
            equal weight and sample variances. Defaults to False.

    Returns:
        `(batch,)`, 1 where two images are equal.

    Raises:
        ValueError: If shapes differ, images are smaller than a window, or
            `data_range` is not positive.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", 2004;
    skimage.metrics.structural_similarity, with which both choices agree.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> a = np.random.default_rng(0).random((1, 16, 16, 1), "float32")
    >>> np.array(kl.imaging.ssim(a, a)).tolist()
    [1.0]
    """
    a, b, data_range = _pair("ssim", a, b, data_range)
    profile = gaussian_profile(1.5, 5) if gaussian else np.full(7, 1 / 7)
    size = len(profile)
    if len(a.shape) != 4 or any(s is not None and s < size for s in a.shape[1:3]):
        raise ValueError(
            f"ssim takes images (batch, height, width, channels) of at least {size} "
            f"pixels a side, one window. Received: shape {tuple(a.shape)}."
        )

    def windows(x: Tensor) -> Tensor:
        return convolve_sides(x, profile, "valid")

    # Variances do not change with the level; rounding does.
    level = ops.mean(a, axis=(1, 2), keepdims=True)
    centred_a, centred_b = a - level, b - level
    mean_a, mean_b = windows(centred_a), windows(centred_b)
    unbiased = 1.0 if gaussian else size**2 / (size**2 - 1)
    energy = windows(ops.square(centred_a) + ops.square(centred_b))
    variances = unbiased * (energy - ops.square(mean_a) - ops.square(mean_b))
    covariance = unbiased * (windows(centred_a * centred_b) - mean_a * mean_b)
    mean_a, mean_b = mean_a + level, mean_b + level
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    numerator = (2.0 * mean_a * mean_b + c1) * (2.0 * covariance + c2)
    squares = ops.square(mean_a) + ops.square(mean_b)
    return ops.mean(numerator / ((squares + c1) * (variances + c2)), axis=(1, 2, 3))


class _Quality(keras.metrics.MeanMetricWrapper):
    """The mean of a measure over images as a metric: the larger the better."""

    def __init__(
        self, measure: Any, name: str, dtype: Any, data_range: Any, **options: Any
    ) -> None:
        self.data_range = data_range
        if data_range is not None:
            checks.positive(type(self).__name__, "data_range", data_range)
        super().__init__(
            measure, name=name, dtype=dtype, data_range=data_range, **options
        )
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return arguments_of(self)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class PSNR(_Quality):
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
        super().__init__(psnr, name, dtype, data_range)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SSIM(_Quality):
    """The mean of `ssim` over images, as a Keras metric.

    Args:
        data_range: float. As for `psnr`. Defaults to None.
        gaussian: bool. As for `ssim`. Defaults to False.
        name: str. The name of the metric. Defaults to "ssim".
        dtype: str. The dtype of the result. Defaults to None.

    Raises:
        ValueError: If `data_range` is not positive or `gaussian` is not a bool.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> metric = kl.imaging.SSIM()
    >>> metric.update_state(np.ones((2, 8, 8, 1)), np.ones((2, 8, 8, 1)))
    >>> float(metric.result())
    1.0
    """

    def __init__(
        self,
        data_range: float | None = None,
        gaussian: bool = False,
        name: str = "ssim",
        dtype: Any = None,
    ) -> None:
        self.gaussian = checks.flag("SSIM", "gaussian", gaussian)
        super().__init__(ssim, name, dtype, data_range, gaussian=gaussian)


def _pair(
    owner: str, a: Tensor, b: Tensor, data_range: float | None
) -> tuple[Tensor, Tensor, float]:
    """Return both in one dtype, float32 or float64, and the range of their values."""
    if data_range is not None:
        data_range = checks.positive(owner, "data_range", data_range)
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
