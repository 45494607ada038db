"""Restoration of degraded images: denoising, inpainting, super-resolution, deblurring.

Inputs have the shape of the images; where the resolution is halved, every pixel is
repeated. A perceptron and a proximal network restore the same images.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_lifted as kl
from benchmarks import data

Degrade = Callable[[np.ndarray, int], Any]


def noisy(x: np.ndarray, seed: int) -> Any:
    """Add noise of standard deviation 0.2, not clipped."""
    return kl.imaging.GaussianNoise(0.2, seed=seed)(x)


def masked(x: np.ndarray, seed: int) -> Any:
    """Set half of the pixels to 0, others in each image."""
    return kl.imaging.Mask(0.5, resample=True, seed=seed)(x)


def coarse(x: np.ndarray, seed: int) -> Any:
    """Take means of 2 × 2 pixels, and repeat them."""
    low = kl.imaging.Downsample(2)(x)
    return keras.ops.repeat(keras.ops.repeat(low, 2, axis=1), 2, axis=2)


def blurry(x: np.ndarray, seed: int) -> Any:
    """Blur by 1.5 pixels and add noise of standard deviation 0.02."""
    noise = kl.imaging.GaussianNoise(0.02, seed=seed)
    return noise(kl.imaging.GaussianBlur(1.5)(x))


DEGRADATIONS: dict[str, Degrade] = {
    "denoising": noisy,
    "inpainting": masked,
    "super_resolution": coarse,
    "deblurring": blurry,
}


def degraded(degrade: Degrade, limit: int | None) -> data.Data:
    """Load degraded and clean images; 2,000 are held out, 2,000 test."""
    (train, _), (test, _) = data.images("fashion_mnist")
    clean = data.split((train, train), (test[:2000], test[:2000]), limit, 2000)
    return data.Data(
        *(
            (keras.ops.convert_to_numpy(degrade(x, seed)), x)
            for seed, (x, _) in enumerate(clean)
        )
    )


def perceptron(cls: type) -> keras.Model:
    """Build five affine maps, all 784 wide, ReLU; a soft threshold at the third."""
    return kl.models.sparse_autoencoder(
        (28, 28, 1), code=784, units=(784, 784, 784), cls=cls
    )


def proximal(cls: type) -> keras.Model:
    """Build four dual forward-backward steps with 8 filters of 3 × 3 pixels."""
    return kl.models.proximal_network((28, 28, 1), filters=8, steps=4, cls=cls)


NETWORKS: dict[str, Callable[[type], keras.Model]] = {
    "mlp": perceptron,
    "pnn": proximal,
}
