"""A small network of tanh blocks, its data, and its energy in float64."""

import keras
import numpy as np
from keras import layers

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"
COMPILED = "auto" if JAX else False
RNG = np.random.default_rng(11)
SAMPLES = 5
X = RNG.normal(size=(SAMPLES, 4)).astype("float32")
Y = RNG.normal(size=(SAMPLES, 2)).astype("float32")
WEIGHTS = [
    RNG.normal(size=(4, 6)) * 0.6,
    RNG.normal(size=6) * 0.1,
    RNG.normal(size=(6, 3)) * 0.6,
    RNG.normal(size=3) * 0.1,
    RNG.normal(size=(3, 2)) * 0.8,
]


def network(activation="tanh", **dense):
    """4-6-3-2 with the blocks "one" and "two"."""
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation=activation, name="one", **dense)(inputs)
    x = layers.Dense(3, activation=activation, name="two")(x)
    model = kl.LiftedModel(inputs, layers.Dense(2, use_bias=False)(x))
    model.set_weights(WEIGHTS)
    return model


def compiled(model, penalty, update=None, rate=1.0, jit_compile=COMPILED):
    sgd = keras.optimizers.SGD(rate)
    optimizer = kl.optimizers.BlockCoordinateDescent(sgd, penalty, update)
    metrics = [kl.metrics.LiftedGap(), kl.metrics.LiftedEnergy()]
    model.compile(optimizer, "mse", metrics=metrics, jit_compile=jit_compile)
    return model


def gradients(model, x=X, y=Y):
    """What one step of SGD(1) subtracts from the weights."""
    before = model.get_weights()
    model.train_on_batch(x, y)
    return [a - b for a, b in zip(before, model.get_weights())]


def assert_close(got, expected, rtol=2e-4, atol=2e-6):
    for each, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(each, wanted, rtol=rtol, atol=atol)
