"""One step of a small model, lifted or not."""

import keras
import numpy as np
from keras import layers
from networks import QUICK, values

B = 8
RNG = np.random.default_rng(3)
X = RNG.normal(size=(B, 5, 4)).astype("float32")
Y = RNG.normal(size=(B, 2)).astype("float32")
SIGNED = RNG.choice([-1.0, 0.5, 2.0], B).astype("float32")


def head(x):
    return layers.Dense(2)(layers.Dense(6, "relu")(layers.Flatten()(x)))


def plain(x):
    return head(layers.Dense(4, "tanh")(x))


def one_step(cls, build, rate=0.1, loss="mse", **options):
    """The model after a step of SGD, and how its trainable weights changed."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input(X.shape[1:])
    model = cls(inputs, build(inputs))
    before = values(model.trainable_variables)
    model.compile(keras.optimizers.SGD(rate), loss, **QUICK)
    model.train_on_batch(X, Y, **options)
    changes = [b - a for a, b in zip(before, values(model.trainable_variables))]
    return model, [change / rate for change in changes]


def assert_parallel(changes, expected):
    for got, wanted in zip(changes, expected, strict=True):
        size = np.linalg.norm(wanted)
        if size:
            cosine = (got * wanted).sum() / (np.linalg.norm(got) * size)
            assert cosine > 0.999 and 0.99 < np.linalg.norm(got) / size < 1.01
