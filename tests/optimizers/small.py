"""A small network with a normalisation, data it can learn, and how it is trained."""

import keras
import numpy as np
from keras import layers, ops

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"
# Eager JAX is slow; on TensorFlow XLA is tested where it matters.
QUICK = {} if JAX else {"run_eagerly": True}
KINDS = (keras.Model, kl.LiftedModel)
RATE = 0.05


def data(samples=32, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(samples, 6)).astype("float32")
    return x, np.tanh(x @ rng.normal(size=(6, 3))).astype("float32")


X, Y = data()


def network(kind=keras.Model, norm=True):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = layers.Dense(5, "tanh", name="hidden")(inputs)
    if norm:
        x = layers.LayerNormalization(name="norm")(x)
    return kind(inputs, layers.Dense(3, name="out")(x))


def descent(learning_rate=RATE, geometry="frobenius", decay=None, **kwargs):
    """Settings that are quick to compile, and steps that do not decay."""
    kwargs = {"weight_decay": None, **kwargs}
    return kl.optimizers.SteepestDescent(learning_rate, geometry, decay=decay, **kwargs)


def fit(model, steps=1, batch=8, **kwargs):
    x, y = (each[: steps * batch] for each in (X, Y))
    return model.fit(x, y, batch_size=batch, shuffle=False, verbose=0, **kwargs)


def trained(optimizer, kind=keras.Model, steps=1, loss="mse", **kwargs):
    """The network after some steps on batches of 8."""
    model = network(kind)
    model.compile(optimizer, loss, **QUICK)
    fit(model, steps, **kwargs)
    return model


def weights(model):
    return {w.path: ops.convert_to_numpy(w) for w in model.trainable_variables}


def assert_same(one, other, **tolerance):
    """Equal weights of two networks, to rounding."""
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, **{"rtol": 0, "atol": 1e-6} | tolerance)


def gradients(kind=keras.Model):
    """Those of the first batch: a step of gradient descent at rate 1."""
    before, after = (
        weights(network(kind)),
        weights(trained(keras.optimizers.SGD(1.0), kind)),
    )
    return {path: before[path] - after[path] for path in before}


def restored(optimizer):
    """The optimizer made anew from its config, of the same class and config."""
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    return again
