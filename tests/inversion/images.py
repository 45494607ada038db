"""Images and networks that tests of inversion share."""

import keras
import numpy as np
from keras import layers

import keras_lifted as kl


def rng():
    """The same numbers in every test."""
    return np.random.default_rng(0)


def phantom(side=16):
    rows, columns = np.mgrid[:side, :side]
    image = np.zeros((1, side, side, 1), "float32")
    image[0, (rows - 6) ** 2 + (columns - 5) ** 2 < 10, 0] = 1.0
    image[0, 9:13, 8:14, 0] = 0.6
    return image


def perceptron(side=16, outputs=200, activation="relu"):
    model = keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Flatten(),
            layers.Dense(outputs, activation=activation),
        ]
    )
    kernel = rng().normal(size=(side**2, outputs)).astype("float32") / side
    model.layers[-1].set_weights([kernel, np.zeros(outputs, "float32")])
    return model


def psnr(a, b):
    return np.array(kl.imaging.psnr(a, np.broadcast_to(b, a.shape)))


def invert(network, y, regularizer, max_steps, **keywords):
    """Quiet, and compiled by XLA where it pays."""
    jit = max_steps > 150 or keras.backend.backend() == "jax"
    keywords = {"verbose": False, "jit_compile": jit, **keywords}
    return kl.invert(network, y, regularizer, max_steps=max_steps, **keywords)


class Residual(keras.Model):
    """Subclassed, with a skip connection, a shared layer, dropout and BatchNorm."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(30, activation="relu")
        self.shared = layers.Dense(30, activation="tanh")
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.5)
        self.out = layers.Dense(30)

    def call(self, x):
        x = self.drop(self.norm(self.first(x)))
        x = x + self.shared(x)
        return self.out(x + self.shared(x))


def deep(name):
    if name == "subclassed":
        model = Residual()
        model(np.zeros((1, 16), "float32"))
        return model
    activation = {"functional": "relu", "plain_part": "gelu"}[name]
    inputs = keras.Input((16,))
    h = layers.Dense(30, activation=activation)(inputs)
    h = layers.Dense(30, activation="leaky_relu")(h)
    return keras.Model(inputs, layers.Dense(30, activation="sigmoid")(h))
