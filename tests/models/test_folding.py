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
    both = ["InputLayer", "ProximalStack", "ProximalStack", *["Dense"] * 3]
    check(model, both)
    check(model, ["InputLayer", *["Dense"] * 2, *both[1:2], *["Dense"] * 3], least=3)


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


def test_shared_learnable_and_regularized_layers_stay():
    shared = layers.Dense(4, "relu")
    inputs = keras.Input((4,))
    twice = shared(shared(inputs))
    x = twice
    for _ in range(2):
        threshold = kl.layers.SoftThreshold(0.1, learnable=True)
        x = threshold(layers.Dense(4)(x))
    for _ in range(2):
        x = layers.Dense(4, "relu", kernel_regularizer="l2")(x)
    model = keras.Model(inputs, x)
    expect_error(lambda: kl.stack(model), ValueError, "no run of at least 2 equal")


def test_bad_arguments():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu")])
    expect_error(lambda: kl.stack(model), ValueError, "no run.*'Dense'")
    expect_error(lambda: kl.stack(model, 1), ValueError, "at least 2.*least=1")
    expect_error(lambda: kl.stack("model"), ValueError, "functional or Sequential")
