"""Noise: Gaussian and Poisson."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted import checks
from keras_lifted.backend import poisson
from keras_lifted.imaging.base import Degradation, Tensor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class GaussianNoise(Degradation):
    """`y = x + std · n`, `n` standard normal, new at every call; not clipped.

    `keras.layers.GaussianNoise` is silent in inference, this one never.

    Args:
        std: float. The standard deviation, at least 0, in the unit of the images.
        seed: int. The seed of the noise; None for one at random. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `std` is negative or not finite.

    Source: Zhang et al., "Beyond a Gaussian denoiser", 2017, section I.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.zeros((1, 64, 64, 1), "float32")
    >>> noisy = kl.imaging.GaussianNoise(0.1, seed=0)(image)
    >>> bool(0.09 < np.std(noisy) < 0.11)
    True
    """

    linear = False

    def __init__(self, std: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.std = checks.non_negative("GaussianNoise", "std", std)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def degrade(self, x: Tensor) -> Tensor:
        noise = keras.random.normal(
            ops.shape(x), dtype=x.dtype, seed=self.seed_generator
        )
        return x + self.std * noise


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class PoissonNoise(Degradation):
    """`y = Poisson(peak · x)/peak`: photons counted, new at every call.

    The variance of a pixel is `x/peak`. Negative pixels count as 0.

    Args:
        peak: float. The expected photons of a pixel of value 1, positive.
        seed: int. The seed of the noise; None for one at random. Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `peak` is not positive and finite.

    Source: Makitalo & Foi, "Optimal inversion of the Anscombe transformation in
    low-count Poisson image denoising", 2011, section I.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.full((1, 64, 64, 1), 0.5, "float32")
    >>> noisy = kl.imaging.PoissonNoise(100.0, seed=0)(image)
    >>> bool(0.06 < np.std(noisy) < 0.08)
    True
    """

    linear = False

    def __init__(self, peak: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.peak = checks.positive("PoissonNoise", "peak", peak)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def degrade(self, x: Tensor) -> Tensor:
        rate = self.peak * ops.relu(x)
        return poisson(rate, self.seed_generator.next()) / self.peak
