"""Losses, layers and activations that few models have: a step is still Keras's."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import QUICK, values

import keras_lifted as kl

RNG = np.random.default_rng(3)
X, Y = (RNG.normal(size=(8, n)).astype("float32") for n in (5, 2))


class Gate(layers.Layer):
    """Multiplies by the sigmoid of a number that is trained."""

    def __init__(self):
        super().__init__()
        self.sigmoid = layers.Activation("sigmoid")
        self.number = self.add_weight(shape=(), initializer="ones")
        self.scale = self.add_weight(shape=(6,), initializer="ones")

    def call(self, x):
        return self.sigmoid(self.number) * self.sigmoid(self.scale) * x


class Learned(layers.Layer):
    """A Dense layer whose activation has a slope that is trained, 1 at first."""

    def build(self, shape):
        self.slope = self.add_weight(shape=(), initializer="ones")
        self.dense = layers.Dense(6, activation=lambda z: ops.tanh(self.slope * z))
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)


def change(cls, layer=None, loss="mse", outputs=1, y=Y):
    """How two epochs of SGD change the weights, and the history."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,))
    hidden = layers.Dense(6, "relu")(inputs)
    hidden = hidden if layer is None else layer()(hidden)
    heads = [layers.Dense(2)(layers.Dense(4, "tanh")(hidden)) for _ in range(outputs)]
    model = cls(inputs, heads if outputs > 1 else heads[0])
    before = values(model.trainable_variables)
    model.compile(keras.optimizers.SGD(0.1), loss, **QUICK)
    y = [y] * outputs if outputs > 1 else y
    history = model.fit(X, y, batch_size=3, epochs=2, shuffle=False, verbose=0).history
    after = values(model.trainable_variables)
    return [b - a for a, b in zip(before, after, strict=True)], history, model


def assert_like_keras(**settings):
    expected, history, _ = change(keras.Model, **settings)
    changes, logs, model = change(kl.LiftedModel, **settings)
    for got, wanted in zip(changes, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=2e-3, atol=1e-5)
    assert logs.keys() == history.keys()
    np.testing.assert_allclose(logs["loss"], history["loss"], rtol=1e-4)
    return model


@pytest.mark.filterwarnings("ignore:.*activations of")
@pytest.mark.parametrize("layer", [Gate, Learned])
def test_layers(layer):
    assert_like_keras(layer=layer)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("loss", [["mse", None], [None, "mae"]], ids=str)
def test_outputs_without_a_loss(loss):
    """Nothing is lifted that the loss does not read."""
    model = assert_like_keras(loss=loss, outputs=2)
    assert len(model.lifted_variables(X, [Y, Y])) == 2
    assert np.isfinite(list(model.lifted_gaps(X, [Y, Y]).values())).all()


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_persistent_lifted_variables_of_outputs_without_a_loss():
    update = kl.updates.ProximalGradient(2)
    optimizer = kl.optimizers.BlockCoordinateDescent(
        "sgd", kl.penalties.Bregman(1.0), update, persistent=True
    )
    _, _, model = change(kl.LiftedModel, outputs=2)
    model.compile(optimizer, ["mse", None], **QUICK)
    history = model.fit(X, [Y, Y], batch_size=4, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="Keras refuses it there")
@pytest.mark.parametrize("optimizer", ["sgd", "steepest_descent"])
def test_a_loss_that_is_not_reduced(optimizer):
    loss = keras.losses.MeanSquaredError(reduction=None)
    assert_like_keras(loss=loss)
    model = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    model.compile(optimizer, loss, **QUICK)
    assert np.isfinite(model.fit(X, Y, verbose=0).history["loss"]).all()
