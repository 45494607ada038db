"""A small model whose lifted variables persist, and what they should be."""

import keras
import numpy as np
from keras import layers
from networks import COMPILED, values

import keras_lifted as kl

N = 12
SGD = keras.optimizers.SGD
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
BATCH = {"batch_size": 3, "verbose": 0}


def build(rate=0.0, update=None, persistent=True, activation="tanh", **options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation, name="one")(inputs)
    x = layers.Dense(5, activation, name="two")(x)
    model = kl.LiftedModel(inputs, layers.Dense(1, name="out")(x))
    optimizer = kl.optimizers.BlockCoordinateDescent(
        SGD(rate),
        kl.penalties.Bregman(1.0),
        update or kl.updates.Mirror(1),
        persistent=persistent,
    )
    model.compile(optimizer, "mse", **({"jit_compile": COMPILED} | options))
    return model


def coordinates(model):
    store = model.optimizer.memory.store
    if hasattr(store, "coordinates"):
        return values([store.coordinates["one"], store.coordinates["two"]])
    return values(store.read(np.arange(N), True)[0].values())


def by_hand(model, sweeps, sample_weight=None, x=X, y=Y):
    """Mirror steps of each sample from the forward pass, weights fixed."""
    (w1, b1), (w2, b2), (w3, b3) = (
        [a.astype("float64") for a in model.get_layer(name).get_weights()]
        for name in ("one", "two", "out")
    )
    one, two = values([model.optimizer.lifted.curvature])[0].astype("float64")
    v1 = z1 = x @ w1 + b1
    v2 = np.tanh(v1) @ w2 + b2
    for _ in range(sweeps):
        z2 = np.tanh(v1) @ w2 + b2
        error = np.tanh(v2) @ w3 + b3 - y
        v2 = v2 + (z2 - 2 * error @ w3.T - v2) / (1 + two)
        q1 = (np.tanh(z2) - np.tanh(v2)) @ w2.T
        v1 = v1 + (z1 - q1 - v1) / (1 + one)
    return v1, v2


def dataset(x=X, y=Y, batch=4):
    import tensorflow as tf

    samples = tf.data.Dataset.from_tensor_slices((x, y))
    return kl.with_index(samples).shuffle(N).batch(batch)
