"""What layers do in a step, they do in a lifted one: control flow, states, hooks."""

import threading

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import QUICK, values
from one_step import X, Y, assert_parallel, head, one_step

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"


class Flow(layers.Layer):
    """Calls a Dense layer within the control flow `way`."""

    def __init__(self, way):
        super().__init__()
        self.dense, self.way = layers.Dense(4, "relu"), way

    def build(self, shape):
        self.dense.build((None, shape[-1]))

    def call(self, x):
        if self.way == "cond":
            return ops.cond(ops.mean(x) > -9.0, lambda: self.dense(x), lambda: x)
        if self.way == "map":
            return ops.map(lambda row: self.dense(row[None])[0], x)
        return ops.fori_loop(0, 2, lambda _, h: self.dense(h), x)


class Counting(layers.Layer):
    """Keeps a metric, and a variable that it moves."""

    def __init__(self):
        super().__init__()
        self.metric = keras.metrics.Mean(name="size")
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.metric.update_state(ops.mean(ops.abs(x)))
        self.count.assign_add(1.0)
        return x


@pytest.mark.parametrize("way", ["cond", "map", "loop"])
def test_activations_in_control_flow_are_ordinary_ones(way):
    def build(x):
        return head(Flow(way)(x))

    _, expected = one_step(keras.Model, build)
    with pytest.warns(UserWarning, match="^1 of 2 activations"):
        model, changes = one_step(kl.LiftedModel, build)
    assert_parallel(changes, expected)
    model.train_on_batch(X, Y)  # is told no more


def test_layers_keep_what_they_assign():
    states = []
    for cls in (keras.Model, kl.LiftedModel):
        model, _ = one_step(
            cls, lambda x: head(layers.Dropout(0.5, seed=1)(Counting()(x)))
        )
        logs = model.train_on_batch(X, Y, return_dict=True)
        states.append((values(model.non_trainable_variables), logs["size"]))
    for got, expected in zip(states[1][0], states[0][0], strict=True):
        np.testing.assert_allclose(got, expected)
    if not JAX:  # where Keras drops what a metric in a layer took in
        assert states[1][1] == pytest.approx(states[0][1])


def test_trainable_variables_that_a_layer_assigns():
    """Spectral normalisation, with the steps and the kernels of Keras."""

    def build(x):
        start = keras.initializers.RandomNormal(stddev=3.0, seed=3)
        dense = layers.Dense(4, activation="relu", kernel_initializer=start)
        return head(layers.SpectralNormalization(dense)(x))

    expected, _ = one_step(keras.Model, build)
    model, _ = one_step(kl.LiftedModel, build)
    for got, wanted in zip(values(model.weights), values(expected.weights)):
        np.testing.assert_allclose(got, wanted, rtol=1e-3, atol=1e-5)


def test_states_that_keras_does_not_track():
    states = []
    for cls in (keras.Model, kl.LiftedModel):
        keras.utils.set_random_seed(1)
        inputs = keras.Input(batch_shape=X.shape)
        lstm = layers.LSTM(4, stateful=True)
        model = cls(inputs, head(lstm(inputs)))
        model.compile(keras.optimizers.SGD(0.1), "mse", **QUICK)
        for _ in range(2):
            model.train_on_batch(X, Y)
        states.append(values(lstm.states))
    for got, expected in zip(states[1], states[0], strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-6)


def test_hooks_never_stay_behind():
    """After an error in a layer, and where two models share layers in threads."""
    dense, relu = layers.Dense(8, activation="relu"), layers.ReLU()
    inputs = keras.Input((4,))
    outputs = layers.Dense(2)(relu(layers.Dense(8)(dense(inputs))))
    before, errors = dense.activation, []

    def train():
        try:
            model = kl.LiftedModel(inputs, outputs)
            model.compile("sgd", "mse", jit_compile=False)
            for _ in range(3):
                model.train_on_batch(X[:, 0], Y)
                model.lifted_gaps(X[:, 0], Y)
        except ValueError as error:
            errors.append(error)

    def wrong(y, outputs):
        raise ValueError("a loss of the user")

    model = kl.LiftedModel(inputs, outputs)
    model.compile("sgd", wrong, **QUICK)
    with pytest.raises(ValueError, match="a loss of the user"):
        model.train_on_batch(X[:, 0], Y)
    threads = [threading.Thread(target=train) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert dense.activation is before and "call" not in vars(relu)
