"""`tf.data` pipelines that call Keras layers, on every backend."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

Tensor = Any


def map_images(
    dataset: Any, pick: Callable[[Any], Tensor], function: Callable[[Tensor], Tensor]
) -> Any:
    """Return a data set of pairs `(function(image), image)`, images floating-point.

    `pick` takes the image from an element; `function` maps `(batch, h, w, c)` to the
    same rank, on JAX outside the pipeline's graph, on NumPy arrays.
    """
    import tensorflow as tf

    dtype = keras.config.floatx()

    def pair(*element: Any) -> tuple[Tensor, Tensor]:
        clean = tf.cast(pick(element[0] if len(element) == 1 else element), dtype)
        single = clean.shape.rank == 3
        images = clean[None] if single else clean
        shape = function(keras.KerasTensor(images.shape, dtype)).shape
        degraded = in_pipeline(function, images, shape)
        return (degraded[0] if single else degraded), clean

    return dataset.map(pair)


def in_pipeline(
    function: Callable[[Tensor], Tensor], images: Tensor, shape: Any
) -> Tensor:
    """Return `function(images)` of this shape, within the graph of a pipeline."""
    if not is_foreign(images):
        return function(images)
    import tensorflow as tf

    def outside(images: np.ndarray) -> np.ndarray:
        return np.asarray(keras.ops.convert_to_numpy(function(images)), images.dtype)

    result = tf.numpy_function(outside, [images], images.dtype)
    result.set_shape(shape)
    return result


def is_foreign(images: Any) -> bool:
    """Return whether it is a TensorFlow tensor in a program that runs on JAX."""
    module = type(images).__module__
    return keras.backend.backend() != "tensorflow" and module.startswith("tensorflow.")
