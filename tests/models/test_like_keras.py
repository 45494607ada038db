"""A step of a lifted model is Keras's, whatever the samples, layers and scales are."""

import threading
import warnings
from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops
from networks import QUICK
from networks import values

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"
B = 8
RNG = np.random.default_rng(3)
X = RNG.normal(size=(B, 5, 4)).astype("float32")
Y = RNG.normal(size=(B, 2)).astype("float32")
SIGNED = RNG.choice([-1.0, 0.5, 2.0], B).astype("float32")


def head(x):
    return layers.Dense(2)(layers.Dense(6, "relu")(layers.Flatten()(x)))


def plain(x):
    return head(layers.Dense(4, "tanh")(x))


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
    assert (weights > 1e6).all() if factor > 1 else (weights == 1e6).all()


def test_repeated_updates_take_merged_frames():
    """An activation whose first axis is not the sample's stays an ordinary one."""
    inputs = keras.Input(X.shape[1:])
    model = kl.LiftedModel(inputs, merged_frames(inputs))
    update = kl.updates.ProximalGradient(2)
    optimizer = kl.optimizers.BlockCoordinateDescent("adam", lifted_update=update)
    model.compile(optimizer, "mse", **QUICK)
    assert set(model.lifted_variables(X, Y)) == {model.layers[-2].name}
    assert np.isfinite(model.train_on_batch(X, Y))


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
