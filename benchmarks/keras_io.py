"""Small networks as the examples of keras.io build them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

# A model, its inputs and targets for one batch, and a loss.
Given = tuple[keras.Model, Any, Any, Any]
Build = Callable[[], Given]
BATCH = 8
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
LABELS = "sparse_categorical_crossentropy"


def images(size: int, channels: int = 3) -> np.ndarray:
    """Return a batch of noise."""
    return np.random.default_rng(0).normal(size=(BATCH, size, size, channels))


def tokens(length: int) -> np.ndarray:
    """Return a batch of sequences of 49 words; 0 is padding."""
    return np.random.default_rng(0).integers(1, 50, (BATCH, length))


def classes(count: int = 10) -> np.ndarray:
    """Return a batch of labels."""
    return np.random.default_rng(1).integers(0, count, BATCH)


def unet() -> Given:
    """A U-Net with batch normalization, which labels pixels."""
    inputs = keras.Input((16, 16, 3))
    skips, x = [], inputs
    for width in (4, 8):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    for width in (8, 4):
        x = layers.Conv2DTranspose(width, 3, 2, padding="same", activation="relu")(x)
        x = layers.Concatenate()([x, skips.pop()])
    outputs = layers.Conv2D(3, 1, activation="softmax")(x)
    y = np.random.default_rng(1).integers(0, 3, (BATCH, 16, 16))
    model = keras.Model(inputs, outputs)
    return model, images(16), y, LABELS


@keras.saving.register_keras_serializable(package="zoo")
class Sampling(layers.Layer):
    """Draws from a normal distribution, and adds its divergence to the loss."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(7)

    def call(self, inputs: Any) -> Any:
        """Return a sample for each mean and logarithm of a variance."""
        mean, log = inputs
        kl = ops.mean(ops.square(mean) + ops.exp(log) - log - 1.0)
        self.add_loss(0.05 * kl)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log) * noise


def vae() -> Given:
    """A variational autoencoder."""
    inputs = keras.Input((20,))
    x = layers.Dense(16, "relu")(inputs)
    z = Sampling()([layers.Dense(4)(x), layers.Dense(4)(x)])
    outputs = layers.Dense(20, "sigmoid")(layers.Dense(16, "relu")(z))
    x = np.random.default_rng(0).uniform(size=(BATCH, 20))
    return keras.Model(inputs, outputs), x, x, "binary_crossentropy"


def recurrent(cell: type) -> Build:
    """A bidirectional recurrent classifier of padded sequences."""

    def build() -> Given:
        inputs = keras.Input((12,), dtype="int32")
        x = layers.Embedding(50, 8, mask_zero=True)(inputs)
        x = layers.Bidirectional(cell(6))(x)
        x = layers.Dropout(0.2, seed=3)(layers.Dense(8, "relu")(x))
        model = keras.Model(inputs, layers.Dense(1, "sigmoid")(x))
        return model, tokens(12), classes(2), "binary_crossentropy"

    return build


def mlp_mixer() -> Given:
    """Two blocks of MLP-Mixer."""
    inputs = keras.Input((16, 8))
    x = inputs
    for _ in range(2):
        y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        y = layers.Dense(16)(layers.Dense(12, activation="gelu")(y))
        x = x + layers.Permute((2, 1))(y)
        y = layers.Dense(12, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(8)(y)
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    x = np.random.default_rng(0).normal(size=(BATCH, 16, 8))
    return keras.Model(inputs, outputs), x, classes(), LOGITS


def gmlp() -> Given:
    """A block of gMLP, gated along the positions."""
    inputs = keras.Input((16, 8))
    x = layers.LayerNormalization()(inputs)
    u = layers.Dense(16, activation="gelu")(x)
    u, v = u[..., :8], u[..., 8:]
    v = layers.Permute((2, 1))(layers.Dense(16)(layers.Permute((2, 1))(v)))
    x = inputs + layers.Dense(8)(u * v)
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    x = np.random.default_rng(0).normal(size=(BATCH, 16, 8))
    return keras.Model(inputs, outputs), x, classes(), LOGITS


def siamese() -> Given:
    """Two images through one tower, and their distance."""
    tower = keras.Sequential(
        [layers.Conv2D(4, 3, activation="tanh"), layers.Flatten(), layers.Dense(6)]
    )
    one, two = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    distance = ops.sqrt(
        ops.sum(ops.square(tower(one) - tower(two)), -1, keepdims=True) + 1e-6
    )
    outputs = layers.Dense(1, "sigmoid")(layers.BatchNormalization()(distance))
    x = [images(8, 1), images(8, 1)[::-1]]
    return keras.Model([one, two], outputs), x, classes(2), "binary_crossentropy"


def two_tower() -> Given:
    """A recommender: users against the items of the same batch."""

    def tower(x: Any) -> Any:
        x = layers.Flatten()(layers.Embedding(50, 8)(x))
        return layers.UnitNormalization()(
            layers.Dense(8)(layers.Dense(16, activation="relu")(x))
        )

    one, two = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    scores = 5.0 * ops.matmul(tower(one), ops.transpose(tower(two)))
    return (
        keras.Model([one, two], scores),
        [tokens(1), tokens(1)],
        np.arange(BATCH),
        LOGITS,
    )


def pointnet() -> Given:
    """A classifier of point clouds."""
    inputs = keras.Input((32, 3))
    x = inputs
    for width in (8, 16):
        x = layers.BatchNormalization(momentum=0.0)(layers.Conv1D(width, 1)(x))
        x = layers.Activation("relu")(x)
    x = layers.Dense(8, activation="relu")(layers.GlobalMaxPooling1D()(x))
    outputs = layers.Dense(10, "softmax")(layers.Dropout(0.3, seed=1)(x))
    x = np.random.default_rng(0).normal(size=(BATCH, 32, 3))
    return keras.Model(inputs, outputs), x, classes(), LABELS


def tabular() -> Given:
    """Columns through Keras's preprocessing layers."""
    age, kind = keras.Input((1,), name="age"), keras.Input((1,), name="kind")
    normal = layers.Normalization()
    normal.adapt(np.arange(20.0)[:, None])
    buckets = layers.Discretization([0.0, 1.0])(kind)
    x = layers.Concatenate()(
        [normal(age), layers.CategoryEncoding(3, output_mode="one_hot")(buckets)]
    )
    outputs = layers.Dense(1, "sigmoid")(layers.Dense(8, "relu")(x))
    rng = np.random.default_rng(0)
    x = {"age": rng.uniform(0, 20, (BATCH, 1)), "kind": rng.normal(size=(BATCH, 1))}
    model = keras.Model({"age": age, "kind": kind}, outputs)
    return model, x, classes(2), "binary_crossentropy"


def super_resolution() -> Given:
    """Convolutions whose channels become pixels."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 5, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = ops.reshape(x, (-1, 8, 8, 2, 2, 1))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 16, 16, 1))
    return keras.Model(inputs, x), images(8, 1), images(16, 1), "mse"


SMALL: dict[str, Build] = {
    "U-Net": unet,
    "VAE": vae,
    "LSTM": recurrent(layers.LSTM),
    "GRU": recurrent(layers.GRU),
    "MLP-Mixer": mlp_mixer,
    "gMLP": gmlp,
    "siamese": siamese,
    "two-tower": two_tower,
    "PointNet": pointnet,
    "tabular": tabular,
    "super-resolution": super_resolution,
}
