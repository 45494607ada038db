"""`kl.stack` folds equal blocks, and leaves the outputs as they are."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl
from tests.mistakes import expect_error

RNG = np.random.default_rng(5)
X = RNG.normal(size=(6, 4)).astype("float32")
Stack = kl.layers.ProximalStack


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def randomised(model):
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.5)
    return model


def check(model, expected, **kwargs):
    """Folded layers, the same class, the same outputs; the folded model."""
    randomised(model)
    before = model.predict(X, verbose=0)
    folded = kl.stack(model, **kwargs)
    assert type(folded) is type(model)
    assert kinds(folded) == expected
    np.testing.assert_allclose(folded.predict(X, verbose=0), before, atol=1e-6)
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    return folded


@pytest.mark.parametrize("cls", [keras.Sequential, kl.LiftedSequential])
def test_sequential(cls):
    hidden = [layers.Dense(5, "tanh") for _ in range(4)]
    model = cls([keras.Input((4,)), *hidden, layers.Dense(2)])
    folded = check(model, ["Dense", "ProximalStack", "Dense"])
    assert folded.layers[1].depth == 3
    assert folded.layers[-1] is model.layers[-1]


@pytest.mark.parametrize("cls", [keras.Model, kl.LiftedModel])
def test_residual_blocks_in_either_order(cls):
    x = inputs = keras.Input((4,))
    for i in range(3):
        after = layers.ReLU()(layers.Dense(4)(x))
        x = layers.Add()([x, after] if i % 2 else [after, x])
    model = cls(inputs, layers.Dense(2)(x))
    folded = check(model, ["InputLayer", "ProximalStack", "Dense"])
    assert folded.layers[1].residual


def test_runs_end_where_blocks_differ():
    x = inputs = keras.Input((4,))
    for activation in ["relu"] * 2 + ["tanh"] * 3 + ["relu"] + ["gelu"] * 2:
        x = layers.Dense(4, activation)(x)
    model = keras.Model(inputs, x)
    dense, folded = ["Dense"], ["ProximalStack"]
    check(model, ["InputLayer", *folded * 2, *dense, "Stack"])
    check(model, ["InputLayer", *dense * 2, *folded, *dense * 3], least=3)


def test_what_is_read_elsewhere_stays():
    """The second of four outputs is read by a skip: two runs of two."""
    x = inputs = keras.Input((4,), name="x")
    outputs = []
    for _ in range(4):
        x = layers.Dense(4, "relu", use_bias=False)(x)
        outputs.append(x)
    model = keras.Model({"x": inputs}, {"y": layers.Concatenate()(outputs[1::2])})
    randomised(model)
    folded = kl.stack(model)
    assert kinds(folded).count("ProximalStack") == 2
    data = {"x": X}
    a, b = (m.predict(data, verbose=0)["y"] for m in (model, folded))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_shared_and_single_layers_stay():
    shared = layers.Dense(4, "relu")
    inputs = keras.Input((4,))
    x = layers.Dense(4, "tanh")(shared(shared(inputs)))
    model = keras.Model(inputs, layers.Dense(4)(x))
    expect_error(lambda: kl.stack(model), ValueError, "no run of at least 2 equal")


# -- blocks of any kind ---------------------------------------------------------------


def images(model):
    """Equal outputs of a model of images and what it is folded to."""
    for weight in model.weights:
        weight.assign(RNG.uniform(0.1, 0.9, size=weight.shape))
    x = RNG.normal(size=(2, *model.input_shape[1:])).astype("float32")
    folded = kl.stack(model)
    outputs = [m.predict(x, verbose=0) for m in (model, folded)]
    np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)
    return folded


def test_learnable_and_regularized_layers():
    x = inputs = keras.Input((4,))
    for _ in range(2):
        threshold = kl.layers.SoftThreshold(0.1, learnable=True)
        x = threshold(layers.Dense(4)(x))
    for _ in range(3):
        x = layers.Dense(4, "relu", kernel_regularizer="l2")(x)
    check(keras.Model(inputs, x), ["InputLayer", "Stack", "Stack"])


def test_convolutions_in_a_sequential_model():
    model = keras.Sequential([keras.Input((5, 5, 2))])
    for _ in range(4):
        model.add(layers.Conv2D(3, 3, padding="same"))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.Flatten())
    folded = images(model)
    expected = ["Conv2D", "BatchNormalization", "ReLU", "Stack", "Flatten"]
    assert kinds(folded) == expected
    assert folded.layers[3].depth == 3
    assert not folded.layers[3].residual


def test_a_residual_stage():
    inputs = keras.Input((5, 5, 3))
    x = layers.Conv2D(4, 1)(inputs)
    for _ in range(3):
        h = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x))
        h = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(h))
        x = layers.Add()([x, h])
    folded = images(keras.Model(inputs, layers.Flatten()(x)))
    assert kinds(folded) == ["InputLayer", "Conv2D", "Stack", "Flatten"]
    assert folded.layers[2].residual


def test_an_encoder_of_two_branches_for_each_block():
    """Both skips lead around the whole block once it is folded."""
    x = inputs = keras.Input((3, 4))
    for _ in range(3):
        h = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 2)(h, h)])
        h = layers.Dense(8, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([layers.Dense(4)(h), x])
    folded = images(keras.Model(inputs, x))
    assert kinds(folded) == ["InputLayer", "Stack"]
    assert (folded.layers[1].depth, folded.layers[1].residual) == (3, True)


def test_a_first_layer_that_is_called_by_keywords():
    x = inputs = keras.Input((3, 4))
    for _ in range(3):
        x = layers.Activation("tanh")(layers.MultiHeadAttention(2, 2)(query=x, value=x))
    folded = images(keras.Model(inputs, x))
    assert kinds(folded) == ["InputLayer", "Stack"]


def test_blocks_that_share_a_threshold_stay_tied():
    x = inputs = keras.Input((4,))
    shared = kl.layers.SoftThreshold(0.1, learnable=True)
    for _ in range(3):
        x = layers.Dense(4, shared)(x)
    for _ in range(2):
        x = layers.Dense(4, kl.layers.SoftThreshold(0.1, learnable=True))(x)
    folded = kl.stack(keras.Model(inputs, x))
    assert kinds(folded) == ["InputLayer", "ProximalStack", "Stack"]
    assert folded.layers[1].activation is shared


def test_blocks_beneath_a_skip():
    """What a U-Net's skip leads around is folded, and so is what comes after."""
    x = inputs = keras.Input((4, 4, 3))
    skip = x = layers.Conv2D(3, 3, padding="same")(x)
    for _ in range(3):
        x = layers.Conv2D(3, 3, padding="same", activation="gelu")(x)
    x = layers.Concatenate()([skip, x])
    for _ in range(2):
        x = layers.Conv2D(6, 3, padding="same", activation="gelu")(x)
    folded = images(keras.Model(inputs, x))
    expected = ["InputLayer", "Conv2D", "Stack", "Concatenate", "Stack"]
    assert kinds(folded) == expected


def test_models_as_blocks():
    def block():
        u = keras.Input((4,))
        return keras.Model(u, layers.Dense(4)(layers.Dense(6, "gelu")(u)))

    x = inputs = keras.Input((4,))
    for _ in range(3):
        x = block()(x)
    check(keras.Model(inputs, x), ["InputLayer", "Stack"])


def test_bad_arguments():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu")])
    expect_error(lambda: kl.stack(model), ValueError, "no run.*'Dense'")
    expect_error(lambda: kl.stack(model, 1), ValueError, "at least 2.*least=1")
    expect_error(lambda: kl.stack("model"), ValueError, "functional or Sequential")
