"""The tasks that optimizers are compared on: data, network, loss, quality."""

from __future__ import annotations

import functools
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import data
import keras
import numpy as np
from data import Arrays
from restoration_tasks import RESTORATION
from task import Data
from task import Task
from task import psnr
from task import split

import keras_lifted as kl

layers = keras.layers
Activation = Callable[[], Any]

ACTIVATIONS: dict[str, Activation] = {
    "relu": kl.layers.ReLU,
    "sigmoid": kl.layers.Sigmoid,
    "soft_threshold": lambda: kl.layers.SoftThreshold(0.05),
    "tanh": kl.layers.Tanh,
}


# -- networks -----------------------------------------------------------------


def dense(
    activations: Sequence[tuple[int, Activation | None]], outputs: int, cls: type
) -> keras.Model:
    """Dense layers of the given widths and activations, and a linear one."""
    inputs = keras.Input((28, 28, 1))
    h = layers.Flatten()(inputs)
    for width, activation in activations:
        h = layers.Dense(width)(h)
        h = activation()(h) if activation else h
    return cls(inputs, layers.Dense(outputs, name="output")(h))


def mlp(activation: Activation, cls: type) -> keras.Model:
    """784-256-256-256-10."""
    return dense([(256, activation)] * 3, 10, cls)


def conv(activation: Activation, cls: type) -> keras.Model:
    """Two strided convolutions of 16 and 32 filters, and a dense layer."""
    inputs = keras.Input((28, 28, 1))
    h = activation()(layers.Conv2D(16, 3, strides=2, padding="same")(inputs))
    h = activation()(layers.Conv2D(32, 3, strides=2, padding="same")(h))
    h = activation()(layers.Dense(64)(layers.Flatten()(h)))
    return cls(inputs, layers.Dense(10, name="output")(h))


def autoencoder(activation: Activation, cls: type) -> keras.Model:
    """784-1000-500-250-30-250-500-1000-784, its code and its output linear."""
    wide = [(width, activation) for width in (1000, 500, 250)]
    return dense([*wide, (30, None), *wide[::-1]], 784, cls)


# -- data ---------------------------------------------------------------------


def labelled(name: str, limit: int | None) -> Data:
    """Images and labels; 5,000 training images are held out."""
    return split(*data.images(name), limit, 5000)


def reconstruction(name: str, limit: int | None) -> Data:
    """Images and the same images, flat; 5,000 training images are held out."""
    pairs = [(x, _flat(x)) for x, _ in data.images(name)]
    return split(*pairs, limit, 5000)


def blurred(name: str, limit: int | None) -> Data:
    """Blurred, noisy images and clean ones; at most 58,000, 2,000 for tests.

    Gaussian blur of 1.5 pixels, noise of standard deviation 0.02, not clipped.
    """
    from scipy.ndimage import gaussian_filter

    (train, _), (test, _) = data.images(name)
    clean = split(
        (train, train), (test, test), 20_000 if limit is None else limit, 2000
    )
    rng = np.random.default_rng(0)

    def pair(x: np.ndarray) -> Arrays:
        blurry = gaussian_filter(x, (0, 1.5, 1.5, 0))
        noise = rng.normal(scale=0.02, size=x.shape)
        return (blurry + noise).astype("float32"), _flat(x)

    return Data(*(pair(x) for x, _ in (*clean[:2], (test[:2000], None))))


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1)


# -- quality ------------------------------------------------------------------


def squared_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean over images of the squared error, summed over pixels."""
    return float(np.mean(np.sum((prediction - target) ** 2, axis=1)))


def accuracy(prediction: np.ndarray, target: np.ndarray) -> float:
    """Per cent of the largest logits that are the label's."""
    if not np.isfinite(prediction).all():
        return float("nan")
    return float(100 * np.mean(np.argmax(prediction, axis=1) == target))


# -- tasks --------------------------------------------------------------------


def classification(build: Callable[[type], keras.Model]) -> Task:
    """Fashion-MNIST's ten classes."""
    return Task(
        load=functools.partial(labelled, "fashion_mnist"),
        build=build,
        loss=lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        quality=accuracy,
        unit="test accuracy (%)",
    )


def deep(activation: str, depth: int) -> Task:
    """A narrow classifier without normalisation."""
    hidden = [(128, ACTIVATIONS[activation])] * depth
    return classification(functools.partial(dense, hidden, 10))


def compression(activation: str) -> Task:
    """The deep autoencoder of MNIST."""
    return Task(
        load=functools.partial(reconstruction, "mnist"),
        build=functools.partial(autoencoder, ACTIVATIONS[activation]),
        loss=keras.losses.MeanSquaredError,
        quality=squared_error,
        unit="test squared error per image",
        higher_is_better=False,
    )


def _soft_threshold() -> Any:
    return kl.layers.SoftThreshold(0.2)


DEBLURRING = Task(
    load=functools.partial(blurred, "fashion_mnist"),
    build=functools.partial(dense, [(512, _soft_threshold)] * 3, 784),
    loss=keras.losses.MeanSquaredError,
    quality=psnr,
    unit="test PSNR (dB)",
)

TASKS: dict[str, Task] = {
    "deblurring": DEBLURRING,
    "autoencoder_sigmoid": compression("sigmoid"),
    "autoencoder_relu": compression("relu"),
    "autoencoder_soft_threshold": compression("soft_threshold"),
    "classification_mlp": classification(functools.partial(mlp, ACTIVATIONS["relu"])),
    "classification_conv": classification(functools.partial(conv, ACTIVATIONS["relu"])),
    "deep_tanh_20": deep("tanh", 20),
    "deep_soft_threshold_20": deep("soft_threshold", 20),
    "deep_sigmoid_6": deep("sigmoid", 6),
    "deep_sigmoid_10": deep("sigmoid", 10),
    "deep_sigmoid_20": deep("sigmoid", 20),
    **RESTORATION,
}
