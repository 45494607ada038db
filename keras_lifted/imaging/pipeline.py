"""Degraded and clean images in pairs."""

from __future__ import annotations

from typing import Any

from keras_lifted.backend.dataset import map_images
from keras_lifted.imaging.base import Degradation

Tensor = Any


def degrade(dataset: Any, operator: Degradation) -> Any:
    """Return a data set of pairs `(degraded, clean)`, as `fit` takes them.

    Noise and resampled masks are drawn again in every epoch; call `.cache()` on the
    result to draw them once.

    Args:
        dataset: dataset. A `tf.data.Dataset` of images `(h, w, c)` or batches of them,
            of pairs that begin with one, or of dicts with the key "image". Integers
            become floats of the same values: scale them first.
        operator: degradation. What is done to the images.

    Raises:
        ValueError: If `operator` is not a degradation or `dataset` has no `map`.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> import tensorflow as tf
    >>> images = tf.data.Dataset.from_tensor_slices(np.ones((8, 6, 6, 1), "float32"))
    >>> pairs = kl.imaging.degrade(images.batch(4), kl.imaging.Downsample(2))
    >>> [part.shape for part in next(iter(pairs))]
    [TensorShape([4, 3, 3, 1]), TensorShape([4, 6, 6, 1])]
    """
    if not isinstance(operator, Degradation):
        raise ValueError(
            "`operator` must be a keras_lifted.imaging degradation, such as "
            f"GaussianBlur(1.5). Received: {operator!r}"
        )
    if not hasattr(dataset, "map"):
        raise ValueError(
            "`dataset` must be a tf.data.Dataset; for arrays call the operator "
            f"itself, operator(images). Received: {type(dataset).__name__}."
        )
    return map_images(dataset, _image_of, operator)


def _image_of(element: Any) -> Tensor:
    if isinstance(element, dict):
        return element["image"]
    return element[0] if isinstance(element, (tuple, list)) else element
