"""The data sets of the benchmarks."""

from __future__ import annotations

import functools

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


@functools.cache
def images(name: str) -> tuple[Arrays, Arrays]:
    """Images in [0, 1], `(n, 28, 28, 1)`, and labels: training, test.

    Args:
        name: "mnist" or "fashion_mnist", of TensorFlow Datasets.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = 4  # offline, give up after seconds instead of minutes
    splits = tfds.load(name, batch_size=-1, as_supervised=True)
    train, test = (tfds.as_numpy(splits[split]) for split in ("train", "test"))
    return _scaled(*train), _scaled(*test)


def _scaled(x: np.ndarray, y: np.ndarray) -> Arrays:
    return x.astype("float32") / np.float32(255.0), y
