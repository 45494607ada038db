"""Blocks that a stack repeats."""

import keras
import pytest
from keras import layers


def dense():
    return layers.Dense(6, "tanh")


def convolution():
    return keras.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
    )


def pre_norm(width=8):
    """A transformer block; its skips are inside."""
    x = inputs = keras.Input((None, width))
    h = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, width // 2)(h, h)])
    h = layers.LayerNormalization()(x)
    h = layers.Dense(width)(layers.Dense(2 * width, "gelu")(h))
    return keras.Model(inputs, layers.Add()([x, h]))


@keras.saving.register_keras_serializable(package="tests")
class TwoLayers(keras.Model):
    """Two layers of which the first ends in what the second reads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(5, "relu")
        self.last = layers.Dense(6)
        self.drop = layers.Dropout(0.5)

    def call(self, x):
        return self.last(self.drop(self.first(x)))


CASES = {
    "dense": (dense, (6,)),
    "convolution": (convolution, (5, 5, 4)),
    "transformer": (pre_norm, (3, 8)),
}
# The same as parameters; a transformer takes long to compile.
PARAMETERS = [
    pytest.param(case, id=name, marks=pytest.mark.slow if name == "transformer" else ())
    for name, case in CASES.items()
]
