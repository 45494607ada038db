"""Gaussian blur."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
import numpy as np

from keras_lifted.imaging.convolution import Convolution
from keras_lifted.imaging.convolution import check_boundary
from keras_lifted.layers import checks


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class GaussianBlur(Convolution):
    """`y = x ∗ g`, `g(t) ∝ exp(−t²/2σ²)` along each side, cut at `4σ`.

    Args:
        sigma: float. The standard deviation `σ > 0`, in pixels.
        boundary: str. As for `Blur`. Defaults to "symmetric".
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `sigma` is not positive and finite, if `boundary` is unknown,
            or if images are smaller than the kernel reaches.

    Source: scipy.ndimage.gaussian_filter, with which it agrees.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.ones((1, 9, 9, 1), "float32")
    >>> bool(np.allclose(kl.imaging.GaussianBlur(1.5)(image), 1.0, atol=1e-5))
    True
    """

    def __init__(
        self, sigma: float, boundary: str = "symmetric", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sigma = checks.positive("GaussianBlur", "sigma", sigma)
        self.boundary = check_boundary("GaussianBlur", boundary)

    def kernels(self) -> list[np.ndarray]:
        profile = gaussian(self.sigma, int(4.0 * self.sigma + 0.5))
        return [profile[:, None], profile[None, :]]


def gaussian(sigma: float, radius: int) -> np.ndarray:
    """Return `exp(−t²/2σ²)` at `t = −radius … radius`, scaled to the sum 1."""
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(profile / profile.sum())
