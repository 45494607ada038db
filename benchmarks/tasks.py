"""The tasks that optimizers are compared on: data, network, loss, quality."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import keras_lifted as kl
from benchmarks import data, networks, restoration

partial = functools.partial
Build = Callable[[type], keras.Model]
Load = Callable[[int | None], data.Data]


@dataclasses.dataclass(frozen=True)
class Task:
    """A network to train, and how well it does.

    Attributes:
        load: callable. Data from a number of training samples.
        build: callable. The network, from `keras.Model` or `kl.LiftedModel`.
        loss: callable. A new Keras loss.
        quality: callable. A number from predictions and targets.
        unit: str. What `quality` is, with its unit.
        higher_is_better: bool. The direction of `quality`.
        batch_size: int. Samples of a step.
        epochs: tuple. Epochs of its runs; every run decays to its own end.
        samples: int or None. Training samples, all there are for None.
        jit_compile: bool. Whether XLA compiles the step.
        chosen_by_loss: bool. Whether rates are chosen by the loss on held-out
            samples instead of the quality, which few samples do not tell.
    """

    load: Load
    build: Build
    loss: Callable[[], keras.losses.Loss]
    quality: Callable[[np.ndarray, np.ndarray], float]
    unit: str
    higher_is_better: bool = True
    batch_size: int = 128
    epochs: tuple[int, ...] = (2,)
    samples: int | None = 20_000
    jit_compile: bool = True
    chosen_by_loss: bool = False

    def score(self, quality: float | None) -> float:
        """Return a number to maximise; -inf for a run that failed."""
        if quality is None or not np.isfinite(quality):
            return -np.inf
        return quality if self.higher_is_better else -quality

    def choice(self, summary: dict[str, float]) -> float:
        """Return what the rate is chosen to maximise; -inf for a run that failed."""
        if self.chosen_by_loss:
            return -summary.get("validation_loss", np.inf)
        return self.score(summary.get("validation"))


def accuracy(prediction: np.ndarray, target: np.ndarray) -> float:
    """Per cent of the largest logits that are the label's."""
    if not np.isfinite(prediction).all():
        return float("nan")
    return float(100 * np.mean(np.argmax(prediction, axis=1) == target))


def squared_error(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean over images of the squared error, summed over pixels."""
    return float(np.mean(np.sum((prediction - target) ** 2, axis=1)))


def psnr(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean over images of the peak signal-to-noise ratio in dB, peak 1."""
    errors = np.mean(data.flat(prediction - target) ** 2, axis=1)
    return float(np.mean(-10 * np.log10(errors)))


def classification(build: Build, load: Load | None = None, **settings: Any) -> Task:
    """Ten classes, those of Fashion-MNIST by default."""
    return Task(
        load=load or partial(data.labelled, "fashion_mnist"),
        build=build,
        loss=lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        quality=accuracy,
        unit="test accuracy, %",
        **settings,
    )


def deep(activation: networks.Activation, depth: int, epochs: int) -> Task:
    """A narrow classifier without normalization or skips."""
    hidden = [(128, activation)] * depth
    build = partial(networks.dense, IMAGE, hidden, 10)
    return classification(build, epochs=(epochs,))


def compression(activation: networks.Activation) -> Task:
    """The deep autoencoder of MNIST; its code and its output are linear."""
    wide = [(width, activation) for width in (1000, 500, 250)]
    return Task(
        load=partial(data.reconstruction, "mnist"),
        build=partial(networks.dense, IMAGE, [*wide, (30, None), *wide[::-1]], 784),
        loss=keras.losses.MeanSquaredError,
        quality=squared_error,
        unit="test squared error per image",
        higher_is_better=False,
        epochs=(4,),
    )


def noise(build: Build, shape: tuple[int, ...], **settings: Any) -> Task:
    """Samples that mean nothing, for measurements of time."""
    return classification(build, partial(data.noise, shape, 10), **settings)


def encoder(depth: int, width: int, heads: int, **settings: Any) -> Task:
    """A transformer over 32 of 1,000 tokens."""
    build = partial(networks.transformer, 32, 1000, depth, width, heads)
    return classification(build, partial(data.tokens, 32, 1000, 10), **settings)


def soft_threshold(threshold: float) -> networks.Activation:
    """A layer that shrinks towards zero."""
    return partial(kl.layers.SoftThreshold, threshold)


IMAGE, CIFAR, PHOTO = (28, 28, 1), (32, 32, 3), (64, 64, 3)
RELU = kl.layers.ReLU
LARGE = {"batch_size": 16, "jit_compile": False}

QUALITY: dict[str, Task] = {
    "mlp": classification(
        partial(networks.dense, IMAGE, [(256, RELU)] * 3, 10), epochs=(1, 2, 4, 10)
    ),
    "conv": classification(networks.conv, epochs=(2, 5)),
    "deblurring": Task(
        load=partial(data.blurred, "fashion_mnist"),
        build=partial(networks.dense, IMAGE, [(512, soft_threshold(0.2))] * 3, 784),
        loss=keras.losses.MeanSquaredError,
        quality=psnr,
        unit="test PSNR, dB",
        epochs=(2, 5),
    ),
    "autoencoder_relu": compression(RELU),
    "autoencoder_soft_threshold": compression(soft_threshold(0.05)),
    "autoencoder_sigmoid": compression(kl.layers.Sigmoid),
    "tanh_20": deep(kl.layers.Tanh, 20, epochs=2),
    "sigmoid_10": deep(kl.layers.Sigmoid, 10, epochs=3),
    "sigmoid_20": deep(kl.layers.Sigmoid, 20, epochs=3),
    "soft_threshold_20": deep(soft_threshold(0.05), 20, epochs=2),
    "digits": classification(
        partial(networks.dense, (64,), [(256, RELU)] * 3, 10),
        data.digits,
        epochs=(30,),
        samples=None,
        chosen_by_loss=True,
    ),
    "resnet_20_fashion": classification(
        partial(networks.resnet, IMAGE, 3), epochs=(3, 10)
    ),
    "mobilenet_fashion": classification(networks.mobilenet, epochs=(10,)),
    "vit_fashion": classification(
        partial(networks.vision_transformer, 4, 64, 4), epochs=(10,)
    ),
}
COST: dict[str, Task] = {
    "mlp_cost": noise(partial(networks.dense, (784,), [(256, RELU)] * 3, 10), (784,)),
    "resnet_8": noise(partial(networks.resnet, CIFAR, 1), CIFAR, batch_size=32),
    "resnet_20": noise(partial(networks.resnet, CIFAR, 3), CIFAR, batch_size=32),
    "resnet_56": noise(partial(networks.resnet, CIFAR, 9), CIFAR, batch_size=32),
    "transformer_2": encoder(2, 128, 4, batch_size=32),
    "transformer_8": encoder(8, 128, 4, batch_size=32),
    "transformer_24": encoder(24, 128, 4, batch_size=32),
    "resnet_50": noise(
        partial(networks.application, "ResNet50", PHOTO), PHOTO, **LARGE
    ),
    "densenet_121": noise(
        partial(networks.application, "DenseNet121", PHOTO), PHOTO, **LARGE
    ),
    "efficientnet_b0": noise(
        partial(networks.application, "EfficientNetB0", PHOTO), PHOTO, **LARGE
    ),
    "bert_base": encoder(12, 768, 12, **LARGE),
    **{
        f"{kind}_{depth}": noise(partial(build, 64, depth), (64,))
        for kind, build in (
            ("layers", networks.residual_layers),
            ("stack", networks.residual_stack),
        )
        for depth in (4, 16, 64)
    },
}
RESTORATION: dict[str, Task] = {
    f"{name}_{network}": Task(
        load=partial(restoration.degraded, degrade),
        build=build,
        loss=keras.losses.MeanSquaredError,
        quality=psnr,
        unit="test PSNR, dB",
        epochs=(2, 5),
    )
    for name, degrade in restoration.DEGRADATIONS.items()
    for network, build in restoration.NETWORKS.items()
}
TASKS: dict[str, Task] = {**QUALITY, **RESTORATION, **COST}
