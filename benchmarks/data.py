"""The data sets of the benchmarks."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


class Data(NamedTuple):
    """Inputs and targets; validation is held out of the training set."""

    train: Arrays
    validation: Arrays
    test: Arrays


@functools.cache
def images(name: str) -> tuple[Arrays, Arrays]:
    """Images in [0, 1], `(n, 28, 28, 1)`, and labels: training, test.

    Args:
        name: str. "mnist" or "fashion_mnist", of TensorFlow Datasets.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = 4  # offline, give up after seconds instead of minutes
    splits = tfds.load(name, batch_size=-1, as_supervised=True)
    train, test = (tfds.as_numpy(splits[split]) for split in ("train", "test"))
    return _scaled(*train), _scaled(*test)


def _scaled(x: np.ndarray, y: np.ndarray) -> Arrays:
    return x.astype("float32") / np.float32(255.0), y


def split(
    train: Arrays, test: Arrays, limit: int | None, held_out: int, seed: int = 0
) -> Data:
    """Keep the first `limit` of the shuffled training set; hold out its last."""
    x, y = train
    order = np.random.default_rng(seed).permutation(len(x))
    held_out = min(held_out, len(x) // 6)
    kept, held = order[: len(x) - held_out][:limit], order[len(x) - held_out :]
    return Data((x[kept], y[kept]), (x[held], y[held]), test)


def labelled(name: str, limit: int | None) -> Data:
    """Load images and labels; 5,000 training images are held out."""
    return split(*images(name), limit, 5000)


def reconstruction(name: str, limit: int | None) -> Data:
    """Load images as inputs, and flat as targets; 5,000 are held out."""
    pairs = [(x, flat(x)) for x, _ in images(name)]
    return split(pairs[0], pairs[1], limit, 5000)


def blurred(name: str, limit: int | None) -> Data:
    """Load blurred, noisy images and clean ones; 2,000 are held out, 2,000 test.

    Gaussian blur of 1.5 pixels, noise of standard deviation 0.02, not clipped.
    """
    from scipy.ndimage import gaussian_filter

    (train, _), (test, _) = images(name)
    clean = split((train, train), (test, test), limit, 2000)
    rng = np.random.default_rng(0)

    def pair(x: np.ndarray) -> Arrays:
        blurry = gaussian_filter(x, (0, 1.5, 1.5, 0))
        noise = rng.normal(scale=0.02, size=x.shape)
        return (blurry + noise).astype("float32"), flat(x)

    return Data(*(pair(x) for x in (clean.train[0], clean.validation[0], test[:2000])))


@functools.cache
def digits(limit: int | None) -> Data:
    """Load scikit-learn's 1,797 small digits, flat; one in five is for testing."""
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    test, train = np.split(order, [len(x) // 5])
    return split((x[train], y[train]), (x[test], y[test]), limit, 300)


def noise(shape: tuple[int, ...], classes: int, limit: int | None) -> Data:
    """Draw inputs that mean nothing, for measurements of time."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(limit or 1, *shape)).astype("float32")
    pair = x, rng.integers(0, classes, len(x))
    return Data(pair, pair, pair)


def tokens(length: int, words: int, classes: int, limit: int | None) -> Data:
    """Draw sequences of token numbers that mean nothing."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, words, (limit or 1, length))
    pair = x, rng.integers(0, classes, len(x))
    return Data(pair, pair, pair)


def flat(x: np.ndarray) -> np.ndarray:
    """One row a sample."""
    return x.reshape(len(x), -1)
