"""The inputs of a layer as the rows of a matrix that its kernel multiplies."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_lifted.lifting.affine import find_affine

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


def test_rows_of_volumes():
    volumes = X[..., None] * np.ones(2, "float32")
    check_rows(layers.Conv3D(3, (3, 2, 2), padding="same"), volumes)


@pytest.mark.parametrize(
    "equation, output, axes",
    [
        ("abcd,de->abce", (8, 8, 3), "e"),
        ("...d,de->...e", (8, 8, 3), "e"),
        ("abcd,def->abcef", (8, 8, 3, 4), "ef"),
        ("abcd,cde->abe", (8, 5), "e"),
        ("abcd,bde->ace", (8, 5), None),
    ],
)
def test_rows_of_einsum_layers(equation, output, axes):
    layer = layers.EinsumDense(equation, output, bias_axes=axes)
    check_rows(layer, X)


@pytest.mark.parametrize("equation", ["abcd,cde->abce", "abcd,ed->abce"])
def test_einsum_layers_whose_kernel_is_no_matrix_of_rows(equation):
    inputs = keras.Input(X.shape[1:])
    output = (8, 8, 3)
    layer = layers.EinsumDense(equation, output)
    assert not find_affine(keras.Model(inputs, layer(inputs)))


def test_a_bias_along_other_axes_is_not_the_kernels():
    layer = layers.EinsumDense("abcd,de->abce", (8, 8, 3), bias_axes="ce")
    inputs = keras.Input(X.shape[1:])
    (affine,) = find_affine(keras.Model(inputs, layer(inputs)))
    assert affine.bias is None


def test_attention_has_four_kernels():
    inputs = keras.Input((6, 4))
    outputs = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    affine = find_affine(keras.Model(inputs, outputs))
    assert sorted((each.inputs, each.outputs) for each in affine) == [
        (4, 6),
        (4, 6),
        (4, 6),
        (6, 4),
    ]
    assert all(each.bias is not None for each in affine)
