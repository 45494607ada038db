"""The inputs of a layer as the rows of a matrix that its kernel multiplies."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_lifted.lifting.inputs import find_affine

X = np.random.default_rng(0).normal(size=(2, 8, 8, 2)).astype("float32")


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(3, (3, 2), padding="same"),
        layers.Conv2D(3, 3, strides=2, padding="same"),
        layers.Conv2D(3, 3, strides=(2, 1)),
        layers.Conv2D(3, 3, dilation_rate=2, padding="same"),
        layers.Dense(4),
    ],
    ids=["same", "strided", "valid", "dilated", "dense"],
)
def test_rows_times_kernel_is_the_layer(layer):
    check_rows(layer, X)


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_rows_of_sequences(padding):
    check_rows(layers.Conv1D(3, 4, padding=padding), X[:, 0])


def check_rows(layer, x):
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    (affine,) = find_affine(model)
    rows = ops.convert_to_numpy(affine.rows(ops.convert_to_tensor(x)))
    kernel = ops.convert_to_numpy(layer.kernel).reshape(affine.inputs, affine.outputs)
    wanted = ops.convert_to_numpy(model(x)).reshape(-1, affine.outputs)
    assert np.allclose(rows @ kernel, wanted, atol=1e-4)
