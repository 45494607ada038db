"""Small models and data on which the tests make the mistakes of users."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"
QUICK = {} if JAX else {"run_eagerly": True}  # nothing to compile on TensorFlow
X = np.linspace(-1, 1, 32).reshape(8, 4).astype("float32")
Y = X[:, :1]
NAN = np.where(np.arange(32).reshape(8, 4) == 5, np.float32("nan"), X)
BCD = kl.optimizers.BlockCoordinateDescent


def model(activation="relu"):
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, activation=activation, name="hidden")(inputs)
    return kl.LiftedModel(inputs, layers.Dense(1)(hidden))


def compiled(optimizer="sgd", loss="mse", activation="relu"):
    lifted = model(activation)
    lifted.compile(optimizer, loss, **QUICK)
    return lifted


class Net(kl.LiftedMixin, keras.Model):
    """Built by its first call."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(3, activation="relu", name="hidden")
        self.out = layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


def expect_error(act, error, message):
    """`act()` raises `error`: short, without arrays, and of the pattern `message`."""
    with pytest.raises(error) as caught, np.errstate(divide="ignore"):
        act()
    text = str(caught.value)
    assert re.search(message, text, re.DOTALL), text
    assert len(text) <= 600 and "array([" not in text, text
