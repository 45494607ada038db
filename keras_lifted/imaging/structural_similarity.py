"""Structural similarity."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.imaging.blurs import gaussian as gaussian_profile
from keras_lifted.imaging.convolution import convolve
from keras_lifted.imaging.signal_to_noise import check_range
from keras_lifted.imaging.signal_to_noise import pair
from keras_lifted.layers import checks

Tensor = Any


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
    >>> kl.imaging.ssim(a, a).numpy().tolist()
    [1.0]
    """
    a, b, data_range = pair("ssim", a, b, data_range)
    profile = gaussian_profile(1.5, 5) if gaussian else np.full(7, 1 / 7)
    size = len(profile)
    if len(a.shape) != 4 or any(s is not None and s < size for s in a.shape[1:3]):
        raise ValueError(
            f"ssim takes images (batch, height, width, channels) of at least {size} "
            f"pixels a side, one window. Received: shape {tuple(a.shape)}."
        )

    def windows(x: Tensor) -> Tensor:
        x = convolve(x, profile[:, None], "valid")
        return convolve(x, profile[None, :], "valid")

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


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SSIM(keras.metrics.MeanMetricWrapper):
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
        self.data_range = check_range("SSIM", data_range)
        self.gaussian = checks.flag("SSIM", "gaussian", gaussian)
        super().__init__(
            ssim, name=name, dtype=dtype, data_range=data_range, gaussian=gaussian
        )
        self._direction = "up"

    def get_config(self) -> dict[str, Any]:
        return arguments_of(self)
