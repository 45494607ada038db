"""A convolutional autoencoder of 28 × 28 images whose encoder is inverted.

Two convolutions of stride 2 with ReLU and a dense layer to a code of 300; the decoder
is the mirror image, with a sigmoid at the end. Trained by Adam on the squared
error with a cosine decay.
"""

from __future__ import annotations

import pathlib

import keras

CODE = 300
FILTERS = (16, 32)
SIDE = 28


def autoencoder(seed: int) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder, not trained."""
    keras.utils.set_random_seed(seed)
    layers, low = keras.layers, SIDE // 4
    few, many = FILTERS
    encoder = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Conv2D(few, 4, 2, "same", activation="relu"),
            layers.Conv2D(many, 4, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dense(CODE),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((CODE,)),
            layers.Dense(low * low * many, activation="relu"),
            layers.Reshape((low, low, many)),
            layers.Conv2DTranspose(few, 4, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
        ],
        name="decoder",
    )
    return encoder, decoder


def trained(
    images: object, epochs: int, seed: int, weights: str = ""
) -> tuple[keras.Model, keras.Model]:
    """Encoder and decoder, trained on images or read from a file.

    Args:
        images: `(n, 28, 28, 1)` in [0, 1].
        epochs: of training.
        seed: of weights and the order of images.
        weights: a file `*.weights.h5`, read if there and else written; "" for none.
    """
    encoder, decoder = autoencoder(seed)
    model = keras.Sequential([encoder, decoder])
    if weights and pathlib.Path(weights).exists():
        model.load_weights(weights)
        return encoder, decoder
    batch = 128
    steps = epochs * -(-len(images) // batch)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=True)
    model.fit(images, images, batch_size=batch, epochs=epochs, verbose=0)
    if weights:
        model.save_weights(weights)
    return encoder, decoder
