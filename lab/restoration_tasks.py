"""Restoration of degraded images: denoising, inpainting, super-resolution, deblurring.

Inputs have the shape of the images; where the resolution is halved, every pixel is
repeated. A perceptron and a proximal network restore the same images.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import data
import keras
import numpy as np
from task import Data
from task import Task
from task import psnr
from task import split

import keras_lifted as kl

WIDTH = 784
FILTERS, STEPS = 8, 4
Degrade = Callable[[np.ndarray, int], keras.KerasTensor]


def noisy(x: np.ndarray, seed: int) -> keras.KerasTensor:
    """Noise of standard deviation 0.2, not clipped."""
    return kl.imaging.GaussianNoise(0.2, seed=seed)(x)


def masked(x: np.ndarray, seed: int) -> keras.KerasTensor:
    """Half of the pixels are 0, others in each image."""
    return kl.imaging.Mask(0.5, resample=True, seed=seed)(x)


def coarse(x: np.ndarray, seed: int) -> keras.KerasTensor:
    """Means of 2 × 2 pixels, repeated."""
    low = kl.imaging.Downsample(2)(x)
    return keras.ops.repeat(keras.ops.repeat(low, 2, axis=1), 2, axis=2)


def blurry(x: np.ndarray, seed: int) -> keras.KerasTensor:
    """Gaussian blur of 1.5 pixels, noise of standard deviation 0.02."""
    noise = kl.imaging.GaussianNoise(0.02, seed=seed)
    return noise(kl.imaging.GaussianBlur(1.5)(x))


DEGRADATIONS: dict[str, Degrade] = {
    "denoising": noisy,
    "inpainting": masked,
    "super_resolution": coarse,
    "deblurring": blurry,
}


def degraded(degrade: Degrade, limit: int | None) -> Data:
    """Degraded and clean images; 20,000 by default, 2,000 for tests."""
    (train, _), (test, _) = data.images("fashion_mnist")
    limit = 20_000 if limit is None else limit
    clean = split((train, train), (test[:2000], test[:2000]), limit, 2000)
    pairs = [
        (keras.ops.convert_to_numpy(degrade(x, seed)), x)
        for seed, (x, _) in enumerate(clean)
    ]
    return Data(*pairs)


def ssim(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean over images of the structural similarity."""
    return float(np.mean(kl.imaging.ssim(prediction, target)))


def perceptron(cls: type) -> keras.Model:
    """Five affine maps, all 784 wide, ReLU; a soft threshold at the third."""
    return kl.models.sparse_autoencoder(
        (28, 28, 1), code=WIDTH, units=(WIDTH, WIDTH, WIDTH), cls=cls
    )


def proximal(cls: type) -> keras.Model:
    """Four dual forward-backward steps with 8 filters of 3 × 3 pixels."""
    return kl.models.proximal_network(
        (28, 28, 1), filters=FILTERS, steps=STEPS, cls=cls
    )


NETWORKS = {"mlp": perceptron, "pnn": proximal}

RESTORATION: dict[str, Task] = {
    f"{name}_{network}": Task(
        load=functools.partial(degraded, degrade),
        build=build,
        loss=keras.losses.MeanSquaredError,
        quality=psnr,
        unit="test PSNR (dB)",
        others={"ssim": ssim},
    )
    for name, degrade in DEGRADATIONS.items()
    for network, build in NETWORKS.items()
}
