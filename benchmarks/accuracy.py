"""Test accuracy on Fashion-MNIST: lifted training beside backprop.

    python benchmarks/accuracy.py --output benchmarks/results/accuracy.json

The same model, seed, data order and optimizer (Keras's Adam, default rate)
for both; mean and standard deviation over seeds.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import keras
import numpy as np
from report import write_report

import keras_lifted as kl

layers = keras.layers
ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": kl.layers.ReLU,
    "soft_threshold": lambda: kl.layers.SoftThreshold(0.05),
}


def fashion_mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images in [0, 1], `(n, 28, 28, 1)`, and labels: training, test."""
    import tensorflow_datasets as tfds

    train, test = tfds.load("fashion_mnist", split=["train", "test"], batch_size=-1)
    parts = []
    for split in (tfds.as_numpy(train), tfds.as_numpy(test)):
        parts += [split["image"].astype("float32") / 255.0, split["label"]]
    return tuple(parts)


def mlp(activation: Callable[[], Any], cls: type) -> keras.Model:
    """784-256-256-256-10."""
    inputs = keras.Input((28, 28, 1))
    h = layers.Flatten()(inputs)
    for _ in range(3):
        h = activation()(layers.Dense(256)(h))
    return cls(inputs, layers.Dense(10)(h))


def conv(activation: Callable[[], Any], cls: type) -> keras.Model:
    """Two strided convolutions of 16 and 32 filters, and a dense layer."""
    inputs = keras.Input((28, 28, 1))
    h = activation()(layers.Conv2D(16, 3, strides=2, padding="same")(inputs))
    h = activation()(layers.Conv2D(32, 3, strides=2, padding="same")(h))
    h = activation()(layers.Dense(64)(layers.Flatten()(h)))
    return cls(inputs, layers.Dense(10)(h))


MODELS = {"mlp": mlp, "conv": conv}


def train(
    model: str, activation: str, lifted: bool, seed: int, epochs: int, data: Any
) -> float:
    """Test accuracy in per cent after `epochs`."""
    keras.utils.set_random_seed(seed)
    cls = kl.LiftedModel if lifted else keras.Model
    network = MODELS[model](ACTIVATIONS[activation], cls)
    network.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    x, y, x_test, y_test = data
    network.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    logs = network.evaluate(
        x_test, y_test, batch_size=1000, verbose=0, return_dict=True
    )
    return 100.0 * logs["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    data = fashion_mnist()
    rows = {}
    for model in options.models.split(","):
        for activation in ACTIVATIONS:
            scores = {
                name: [
                    train(model, activation, lifted, seed, options.epochs, data)
                    for seed in range(options.seeds)
                ]
                for name, lifted in (("backprop", False), ("lifted", True))
            }
            rows[f"{model} {activation}"] = scores
            line = "  ".join(
                f"{name} {np.mean(v):.2f} ± {np.std(v, ddof=1):.2f}"
                for name, v in scores.items()
            )
            print(f"{model:5s} {activation:15s} {line}", flush=True)
    write_report(options, "accuracy.py", rows)


if __name__ == "__main__":
    main()
