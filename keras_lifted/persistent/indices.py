"""The index of every sample, carried beside the inputs."""

from typing import Any

INPUTS = "lifted_inputs"
INDEX = "lifted_index"


def indexed(x: Any, index: Any) -> dict[str, Any]:
    """Join inputs of samples with the index by which persistent training keeps them.

    Args:
        x: structure of arrays. The first axis is that of the samples.
        index: array of int, `(batch,)`. Numbers in `[0, samples)`, the same for a
            sample in every epoch.

    Returns:
        Inputs for `fit` and `train_on_batch`, and to return from a `PyDataset`;
        a lifted model takes the index off again.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> batch = kl.indexed(np.zeros((2, 4)), np.array([7, 3]))
    >>> sorted(batch)
    ['lifted_index', 'lifted_inputs']
    """
    return {INPUTS: x, INDEX: index}


def with_index(dataset: Any) -> Any:
    """Return a `tf.data.Dataset` of single samples, each with its index.

    Enumerates the samples as they come, so call it before `shuffle` and `batch`,
    on a dataset whose order is the same every time.

    Args:
        dataset: dataset. It yields `(x, y)` or `(x, y, sample_weight)` of one sample.

    Raises:
        TypeError: If it is no `tf.data.Dataset`.

    Example:

    >>> import keras_lifted as kl, tensorflow as tf
    >>> samples = tf.data.Dataset.from_tensor_slices(([10.0, 20.0], [1, 2]))
    >>> batches = kl.with_index(samples).shuffle(2).batch(2)
    """
    if not callable(getattr(dataset, "enumerate", None)):
        raise TypeError(
            "with_index enumerates a tf.data.Dataset of samples. Received: "
            f"{type(dataset).__name__}. Arrays given to `fit` need no index; a "
            "PyDataset returns `kl.indexed(x, index), y` from `__getitem__`."
        )

    def number(i: Any, sample: Any) -> Any:
        if isinstance(sample, tuple):
            return indexed(sample[0], i), *sample[1:]
        return indexed(sample, i)

    return dataset.enumerate().map(number)


def take_index(x: Any) -> tuple[Any, Any]:
    """Return the inputs, and their index or None."""
    if isinstance(x, dict) and set(x) == {INPUTS, INDEX}:
        return x[INPUTS], x[INDEX]
    return x, None
