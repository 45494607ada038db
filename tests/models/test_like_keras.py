"""A step of a lifted model is Keras's, whatever the samples, layers and scales are."""

import warnings
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import layers, ops
from networks import QUICK, values
from one_step import SIGNED, B, X, Y, assert_parallel, head, one_step, plain

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"


def time_major(x):
    """The first axis of an activation is that of the time."""
    x = layers.Dense(4, "tanh")(ops.transpose(x, (1, 0, 2)))
    return head(ops.transpose(x, (1, 0, 2)))


def merged_frames(x):
    """Frames become samples of the layers between."""
    x = layers.Dense(4, "relu")(ops.reshape(x, (-1, 4)))
    return head(ops.reshape(x, (-1, 5, 4)))


def small_activations(x):
    return head(layers.Dense(4, "relu")(layers.Rescaling(1e-5)(x)))


def large_activations(x):
    return head(layers.Dense(4, "relu")(layers.Rescaling(1e4)(x)))


@pytest.mark.parametrize(
    "build",
    [plain, time_major, merged_frames, small_activations, large_activations],
)
@pytest.mark.parametrize("weight", [None, SIGNED], ids=["even", "signed"])
def test_steps_are_those_of_keras(build, weight):
    _, expected = one_step(keras.Model, build, sample_weight=weight)
    _, changes = one_step(kl.LiftedModel, build, sample_weight=weight)
    assert_parallel(changes, expected)


@pytest.mark.parametrize("factor", [1e-6, 1e6])
def test_the_units_of_the_loss_do_not_matter(factor):
    def loss(y, outputs):
        return factor * ops.mean(ops.square(y - outputs), axis=-1)

    _, expected = one_step(keras.Model, plain, 0.1 / factor, loss)
    model, changes = one_step(kl.LiftedModel, plain, 0.1 / factor, loss)
    assert_parallel(changes, expected)
    weights = values([model.optimizer.lifted.weight])[0]
    assert (weights > 1e7).all() if factor > 1 else (weights == 1e7).all()


def test_repeated_updates_take_merged_frames():
    """An activation whose first axis is not the sample's stays an ordinary one."""
    inputs = keras.Input(X.shape[1:])
    model = kl.LiftedModel(inputs, merged_frames(inputs))
    update = kl.updates.ProximalGradient(2)
    optimizer = kl.optimizers.BlockCoordinateDescent("adam", lifted_update=update)
    model.compile(optimizer, "mse", **QUICK)
    assert set(model.lifted_variables(X, Y)) == {model.layers[-2].name}
    assert np.isfinite(model.train_on_batch(X, Y))


def test_frozen_layers_are_not_lifted():
    inputs = keras.Input(X.shape[1:])
    base = keras.Sequential([layers.Dense(4, "relu"), layers.Dense(4, "tanh")])
    base.trainable = False
    model = kl.LiftedModel(inputs, head(base(inputs)))
    model.compile("adam", "mse", **QUICK)
    assert list(model.lifted_variables(X, Y)) == [model.layers[-2].name]
    model.train_on_batch(X, Y)


def test_quadratic_lifts_any_activation():
    def build(x):
        return head(layers.Dense(4, activation=lambda z: ops.gelu(z))(x))

    inputs = keras.Input(X.shape[1:])
    model = kl.LiftedModel(inputs, build(inputs))
    for update in (None, kl.updates.ProximalGradient(2)):
        penalty = kl.penalties.Quadratic(1.0)
        optimizer = kl.optimizers.BlockCoordinateDescent("adam", penalty, update)
        model.compile(optimizer, "mse", **QUICK)
        assert len(model.lifted_variables(X, Y)) == 2
        model.train_on_batch(X, Y)


def test_sparse_inputs():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(32, 20, 0.1, format="csr", dtype="float32", random_state=0)
    changes = []
    for cls in (keras.Model, kl.LiftedModel):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((20,), sparse=True)
        model = cls(inputs, head(layers.Dense(4, "relu")(inputs)))
        before = values(model.weights)
        model.compile(keras.optimizers.SGD(0.1), "mse", **QUICK)
        model.fit(x, np.ones((32, 2)), batch_size=16, shuffle=False, verbose=0)
        changes.append([b - a for a, b in zip(before, values(model.weights))])
    assert_parallel(changes[1], changes[0])


def test_inputs_of_zeros_meet_the_kink_as_in_keras():
    """A white margin: pre-activations are zero, where biases are."""

    def build(x):
        return head(layers.Dense(4, activation="relu")(layers.Rescaling(0.0)(x)))

    _, expected = one_step(keras.Model, build)
    _, changes = one_step(kl.LiftedModel, build)
    assert_parallel(changes, expected)
    assert not np.any(changes[1])


@pytest.mark.parametrize("known", [True, False])
def test_fit_tells_the_optimizer_how_many_steps_it_takes(known):
    class Planned(keras.optimizers.SGD):
        plans: ClassVar = []

        def plan_fit(self, steps, done=0):
            self.plans.append((steps, done, int(self.iterations)))

    model = kl.LiftedModel(*(lambda i: (i, plain(i)))(keras.Input(X.shape[1:])))
    model.compile(kl.optimizers.BlockCoordinateDescent(Planned(0.1)), "mse", **QUICK)
    if known:
        model.fit(X, Y, batch_size=4, epochs=3, verbose=0)
        assert Planned.plans == [(6, 0, 0)]
    else:
        tf = pytest.importorskip("tensorflow")
        batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
        batches = batches.filter(lambda x, y: True)  # of a number not known
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras learns the number as they end
            model.fit(batches, epochs=3, shuffle=False, verbose=0)
        assert Planned.plans == [(6, 2, 2)]


def test_rows_of_a_table_that_are_read_often():
    """Keras's Adam squares their gradients one by one on TensorFlow."""
    x = np.random.default_rng(0).integers(0, 5, (B, 5))

    def losses(cls):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((5,), dtype="int32")
        model = cls(inputs, head(layers.Embedding(5, 4)(inputs)))
        model.compile(keras.optimizers.Adam(0.1), "mse", **QUICK)
        return [model.train_on_batch(x, Y) for _ in range(3)]

    expected = losses(keras.Model)
    np.testing.assert_allclose(losses(kl.LiftedModel), expected, rtol=1e-4)
