"""Natural images: patches to learn from, and whole pictures, with noise."""

from __future__ import annotations

import pathlib

import numpy as np
from data import Arrays
from matplotlib import image


def read(folder: str) -> list[np.ndarray]:
    """The pictures of a folder by name, grey values in [0, 1]; colours are averaged."""
    files = sorted(pathlib.Path(folder).glob("*.png"))
    if not files:
        raise ValueError(f"Expected a folder with PNG files. Received: '{folder}'.")
    pixels = [image.imread(file).astype("float32") for file in files]
    return [each if each.ndim == 2 else each[..., :3].mean(axis=2) for each in pixels]


def noisy(clean: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """With noise of standard deviation `sigma`/255, not clipped."""
    noise = rng.standard_normal(clean.shape, "float32")
    return clean + np.float32(sigma / 255.0) * noise


def patches(
    pictures: list[np.ndarray],
    count: int,
    side: int,
    sigma: float,
    rng: np.random.Generator,
) -> Arrays:
    """Noisy and clean squares from random places, mirrored and turned at random."""
    clean = np.empty((count, side, side, 1), "float32")
    for i in range(count):
        picture = pictures[rng.integers(len(pictures))]
        top, left = (rng.integers(size - side + 1) for size in picture.shape)
        patch = picture[top : top + side, left : left + side]
        patch = np.rot90(patch, rng.integers(4))
        clean[i, ..., 0] = patch[:, ::-1] if rng.integers(2) else patch
    return noisy(clean, sigma, rng), clean


def whole(pictures: list[np.ndarray], sigma: float) -> list[Arrays]:
    """Noisy and clean pictures, `(1, height, width, 1)`; the number is the seed."""
    pairs = []
    for seed, picture in enumerate(pictures):
        clean = picture[None, ..., None]
        pairs.append((noisy(clean, sigma, np.random.default_rng(seed)), clean))
    return pairs


def psnr_of_bytes(restored: np.ndarray, clean: np.ndarray) -> float:
    """PSNR in dB after rounding to 8 bits."""
    rounded = np.round(255.0 * np.clip(restored, 0.0, 1.0))
    error = np.mean(np.square(rounded - 255.0 * clean))
    return float(-10.0 * np.log10(error / 255.0**2))
