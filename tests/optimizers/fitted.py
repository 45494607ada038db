"""A small network and data for tests of `ISGM`."""

import keras
import numpy as np

import keras_lifted as kl

ISGM = kl.optimizers.ISGM
layers = keras.layers
rng = np.random.default_rng(0)
X = rng.normal(size=(256, 6)).astype("float32")
Y = np.tanh(X @ rng.normal(size=(6, 3))).astype("float32")
IMAGES = rng.normal(size=(64, 8, 8, 2)).astype("float32")


def mlp(activation="relu", width=16, **kwargs):
    inputs = keras.Input((6,))
    h = layers.Dense(width, activation=activation, name="first", **kwargs)(inputs)
    h = layers.Dense(width, activation=activation, name="second")(h)
    return kl.LiftedModel(inputs, layers.Dense(3, name="out")(h))


def fitted(optimizer, model=None, epochs=8, x=X, y=Y, xla=False, **kwargs):
    model = mlp() if model is None else model
    model.compile(optimizer=optimizer, loss="mse", jit_compile=xla)
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, **kwargs)
    return model, history.history["loss"]
