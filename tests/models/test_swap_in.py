"""LiftedModel in the place of any Keras model: same layers, same files."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from networks import (
    COMPILED,
    NETWORKS,
    assert_same,
    data,
    mlp,
    predict,
    residual,
    target,
    values,
)

import keras_lifted as kl

every = pytest.mark.parametrize("builder", NETWORKS.values(), ids=NETWORKS)


def lift(model):
    """The documented swap, which keeps a structure of named inputs."""
    if model.name == "named":
        return kl.LiftedModel(model.input, model.output)
    return kl.LiftedModel(model.inputs, model.outputs)


def activations(model):
    """Every public activation attribute and call of the layers below."""
    own = model, getattr(model, "activation", None), model.__dict__.get("call")
    below = [activations(layer) for layer in getattr(model, "layers", ())]
    return [own, *itertools.chain.from_iterable(below)]


def fit(model, x, y, loss, jit_compile=COMPILED):
    metrics = [kl.metrics.LiftedGap()] * len(keras.tree.flatten(y))
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, loss, metrics=metrics, jit_compile=jit_compile)
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0).history
    measured = [v for name, v in history.items() if name.endswith("lifted_gap")]
    assert measured and min(measured[0]) > 0
    assert history["loss"][-1] < history["loss"][0]


def assert_survives_saving(model, plain, twin, x, path):
    """.keras with optimizer state; weight files in both directions.

    `plain` and `twin` have other weights; `twin` trains by lifting.
    """
    model.save(path / "model.keras")
    loaded = keras.models.load_model(path / "model.keras")
    assert type(loaded) is type(model)
    assert_same(predict(loaded, x), predict(model, x))
    assert loaded.get_compile_config() == model.get_compile_config()
    state, again = model.optimizer.variables, loaded.optimizer.variables
    assert len({v.path for v in state}) == len(state)
    assert_same(values(again), values(state))
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) > 0

    model.save_weights(path / "lifted.weights.h5")
    assert not np.array_equal(predict(plain, x)[0], predict(model, x)[0])
    plain.load_weights(path / "lifted.weights.h5")
    assert_same(predict(plain, x), predict(model, x))
    plain.save_weights(path / "plain.weights.h5")
    assert not np.array_equal(predict(twin, x)[0], predict(plain, x)[0])
    twin.load_weights(path / "plain.weights.h5")
    assert_same(predict(twin, x), predict(plain, x))


@every
def test_swap_in(builder, tmp_path):
    plain, x, y, loss = builder()
    before = predict(plain, x)
    model = lift(plain)
    assert_same(predict(model, x), before)
    found = activations(plain)

    fit(model, x, y, loss, True if builder is residual else COMPILED)

    assert [id(w) for w in model.weights] == [id(w) for w in plain.weights]
    assert model.count_params() == plain.count_params()
    after = activations(plain)
    assert all(a is b for old, new in zip(found, after) for a, b in zip(old, new))
    assert_same(predict(plain, x), predict(model, x))  # the layers are shared
    assert_survives_saving(model, builder()[0], lift(builder()[0]), x, tmp_path)


@every
def test_clone(builder):
    plain, x, _, loss = builder()
    model = lift(plain)
    clone = keras.models.clone_model(model)
    assert type(clone) is kl.LiftedModel
    assert not {id(w) for w in clone.weights} & {id(w) for w in model.weights}
    clone.set_weights(model.get_weights())
    assert_same(predict(clone, x), predict(model, x))
    for each in (model, clone):
        each.compile("sgd", loss)
    names = [block.name for block in model.lifted_blocks]
    assert [block.name for block in clone.lifted_blocks] == names


def test_lifted_sequential(tmp_path):
    def stack(cls):
        return cls(
            [
                keras.Input((4,)),
                layers.Dense(8, activation="relu"),
                kl.layers.SoftThreshold(0.1),
                layers.Dense(1),
            ]
        )

    x, y = data(4), target()
    model, plain = stack(kl.LiftedSequential), stack(keras.Sequential)
    fit(model, x, y, "mse")
    twin = stack(kl.LiftedSequential)
    assert_survives_saving(model, plain, twin, x, tmp_path)
    clone = keras.models.clone_model(model)
    assert type(clone) is kl.LiftedSequential
    clone.set_weights(model.get_weights())
    assert_same(predict(clone, x), predict(model, x))
    clone.train_on_batch(x, y)
    assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])


def test_lifted_sequential_without_input():
    """Built by the first batch of fit."""
    model = kl.LiftedSequential([layers.Dense(8, activation="relu"), layers.Dense(1)])
    fit(model, data(4), target(), "mse")
    assert set(model.lifted_gaps(data(4), target())) == {model.layers[0].name}


@keras.saving.register_keras_serializable(package="tests")
class Functional(kl.LiftedModel):
    """A subclass that builds its graph."""

    def __init__(self, units=8, **kwargs):
        inputs = keras.Input((4,))
        hidden = layers.Dense(units, activation="relu", name="hidden")(inputs)
        outputs = layers.Dense(1, name="out")(hidden)
        super().__init__(inputs, outputs, **kwargs)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}


def test_functional_subclass(tmp_path):
    x, y = data(4), target()
    model = Functional(6)
    fit(model, x, y, "mse")
    assert_survives_saving(model, _plain(6), Functional(6), x, tmp_path)


def _plain(units):
    inputs = keras.Input((4,))
    hidden = layers.Dense(units, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, layers.Dense(1, name="out")(hidden))


class Layers:
    """A network written as a `call`."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(units, activation="relu")
        self.norm = layers.BatchNormalization()
        self.threshold = kl.layers.SoftThreshold(0.05, learnable=True)
        self.out = layers.Dense(1)

    def call(self, x, training=False):
        x = self.norm(self.hidden(x), training=training)
        return self.out(self.threshold(x))

    def get_config(self):
        return {"units": self.units, "name": self.name}


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(kl.LiftedMixin, Layers, keras.Model):
    pass


class PlainSubclassed(Layers, keras.Model):
    pass


def test_subclassed(tmp_path):
    x, y = data(4), target()
    model, plain, twin = Subclassed(), PlainSubclassed(), Subclassed()
    for each in (plain, twin):
        each(x)
    fit(model, x, y, "mse")
    assert len(model.weights) == len(plain.weights) == 9
    assert_survives_saving(model, plain, twin, x, tmp_path)


def test_training_goes_on_after_loading(tmp_path):
    """A reloaded model takes the same next step."""
    plain, x, y, loss = mlp()
    model = lift(plain)
    update = kl.updates.ProximalGradient(2, acceleration="nesterov")
    penalty = kl.penalties.Bregman({"default": 3.0})
    optimizer = kl.optimizers.BlockCoordinateDescent("adam", penalty, update)
    model.compile(optimizer, loss, metrics=["mae"], jit_compile=COMPILED)
    for _ in range(3):
        model.train_on_batch(x, y)
    model.optimizer.lifted.weight.assign([7.0, 9.0])  # annealed
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.optimizer.lifted.weight, [7.0, 9.0])
    assert loaded.jit_compile == model.jit_compile
    for each in (model, loaded):
        each.train_on_batch(x, y)
    assert_same(values(loaded.weights), values(model.weights), atol=1e-6)
    assert_same(
        values(loaded.optimizer.variables),
        values(model.optimizer.variables),
        rtol=1e-4,
        atol=1e-6,
    )
