"""Which variables are kernels, and as which matrices they are read."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_lifted as kl
from keras_lifted.optimizers.kernels import find_groups

JAX = keras.backend.backend() == "jax"


def built(layer, *shapes):
    layer(*(keras.KerasTensor(shape) for shape in shapes))
    return layer


def read(layer):
    """`{name of the kernel: (shape as matrices, name of its bias)}`."""
    variables = layer.trainable_variables
    return {
        _short(variables[kernel.place]): (
            kernel.shape,
            None if kernel.bias is None else _short(variables[kernel.bias]),
        )
        for group in find_groups(variables)
        for kernel in group.kernels
    }


def _short(variable):
    """The path within the layer."""
    return variable.path.partition("/")[2]


ATTENTION = {
    **{
        f"{name}/kernel": ((1, 1, 6, 8), f"{name}/bias")
        for name in ("query", "key", "value")
    },
    "attention_output/kernel": ((1, 2, 4, 6), "attention_output/bias"),
}
IMAGE, KERNEL = (2, 8, 8, 6), {"kernel": ((1, 9, 6, 4), "bias")}
CASES = {
    "Dense": (
        lambda: built(layers.Dense(5), (2, 3)),
        {"kernel": ((1, 1, 3, 5), "bias")},
    ),
    "Dense without bias": (
        lambda: built(layers.Dense(5, use_bias=False), (2, 3)),
        {"kernel": ((1, 1, 3, 5), None)},
    ),
    "Dense of one number": (
        lambda: built(layers.Dense(1), (2, 1)),
        {"kernel": ((1, 1, 1, 1), "bias")},
    ),
    "Conv1D": (
        lambda: built(layers.Conv1D(4, 3), (2, 8, 6)),
        {"kernel": ((1, 3, 6, 4), "bias")},
    ),
    "Conv2D": (lambda: built(layers.Conv2D(4, 3), IMAGE), KERNEL),
    "Conv2D, strides": (lambda: built(layers.Conv2D(4, 3, strides=2), IMAGE), KERNEL),
    "Conv3D": (
        lambda: built(layers.Conv3D(4, 3), (2, 8, 8, 8, 6)),
        {"kernel": ((1, 27, 6, 4), "bias")},
    ),
    "Conv2D of two groups": (
        lambda: built(layers.Conv2D(4, 3, groups=2), IMAGE),
        {"kernel": ((1, 9, 3, 4), "bias")},
    ),
    # Its last axis holds the inputs, so that its bias is not a row of it.
    "Conv2DTranspose": (
        lambda: built(layers.Conv2DTranspose(4, 3), IMAGE),
        {"kernel": ((1, 9, 4, 6), None)},
    ),
    "SeparableConv2D": (
        lambda: built(layers.SeparableConv2D(4, 3), IMAGE),
        {"pointwise_kernel": ((1, 1, 6, 4), "bias")},
    ),
    "DepthwiseConv2D": (lambda: built(layers.DepthwiseConv2D(3), IMAGE), {}),
    "EinsumDense": (
        lambda: built(
            layers.EinsumDense("abc,cd->abd", (None, 7), bias_axes="d"), (2, 3, 4)
        ),
        {"kernel": ((1, 1, 4, 7), "bias")},
    ),
    "EinsumDense with heads": (
        lambda: built(
            layers.EinsumDense("abc,cde->abde", (None, 2, 5), bias_axes="de"), (2, 3, 4)
        ),
        {"kernel": ((1, 1, 4, 10), "bias")},
    ),
    "MultiHeadAttention": (
        lambda: built(layers.MultiHeadAttention(2, 4), (2, 5, 6), (2, 5, 6)),
        ATTENTION,
    ),
    "MultiHeadAttention without bias": (
        lambda: built(
            layers.MultiHeadAttention(2, 4, use_bias=False), (2, 5, 6), (2, 5, 6)
        ),
        {name: (shape, None) for name, (shape, _) in ATTENTION.items()},
    ),
    "LSTM": (
        lambda: built(layers.LSTM(5), (2, 4, 3)),
        {
            "lstm_cell/kernel": ((1, 1, 3, 20), None),
            "lstm_cell/recurrent_kernel": ((1, 1, 5, 20), "lstm_cell/bias"),
        },
    ),
    "GRU": (
        lambda: built(layers.GRU(5), (2, 4, 3)),
        {
            "gru_cell/kernel": ((1, 1, 3, 15), None),
            "gru_cell/recurrent_kernel": ((1, 1, 5, 15), None),
        },
    ),
    "Embedding": (lambda: built(layers.Embedding(9, 4), (2, 3)), {}),
    "LayerNormalization": (lambda: built(layers.LayerNormalization(), (2, 4)), {}),
    "BatchNormalization": (lambda: built(layers.BatchNormalization(), (2, 4)), {}),
    "ProximalStack": (
        lambda: built(kl.layers.ProximalStack(6, 4, "tanh"), (2, 6)),
        {"stacked_kernel": ((4, 1, 6, 6), "bias")},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_of_layers(case):
    make, expected = CASES[case]
    assert read(make()) == expected


def test_kernels_of_one_shape_are_one_group():
    inputs = x = keras.Input((6,))
    for _ in range(3):
        x = layers.Dense(6, "tanh")(x)
    model = keras.Model(inputs, layers.Dense(6, use_bias=False)(x))
    first, second = find_groups(model.trainable_variables)
    assert first.layout.count == 3 and first.places == [0, 2, 4, 1, 3, 5]
    assert second.layout.count == 1 and second.places == [6]
    assert first.layout.biased and not second.layout.biased


def test_a_frozen_kernel_is_left_out_and_a_frozen_bias_too():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(5), layers.Dense(6)])
    model.layers[0].trainable = False
    (group,) = find_groups(model.trainable_variables)
    assert (group.layout.inputs, group.layout.outputs) == (5, 6)
    alone = model.layers[1].kernel
    (group,) = find_groups([alone])
    assert not group.layout.biased


def test_no_kernels():
    layer = built(layers.LayerNormalization(), (2, 4))
    assert find_groups(layer.trainable_variables) == [] == find_groups([])


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][1]])
def test_split_is_the_inverse_of_join(case):
    variables = CASES[case][0]().trainable_variables
    rng = np.random.default_rng(0)
    values = {
        i: ops.convert_to_tensor(rng.normal(size=v.shape).astype("float32"))
        for i, v in enumerate(variables)
    }
    for group in find_groups(variables):
        joined = group.join(values, "float32")
        assert tuple(joined.shape) == group.layout.shape
        parts = group.split(joined)
        assert sorted(parts) == sorted(group.places)
        for place, part in parts.items():
            expected = ops.convert_to_numpy(values[place]).reshape(-1)
            np.testing.assert_array_equal(ops.convert_to_numpy(part), expected)


def test_a_dense_kernel_is_joined_as_a_matrix_over_its_bias():
    layer = built(layers.Dense(5), (2, 3))
    (group,) = find_groups(layer.trainable_variables)
    kernel = np.arange(15.0).reshape(3, 5)
    bias = 100.0 + np.arange(5.0)
    joined = group.join({0: ops.convert_to_tensor(kernel), 1: bias}, "float32")
    expected = np.concatenate([kernel, bias[None]])[None, None]
    np.testing.assert_array_equal(ops.convert_to_numpy(joined), expected)
