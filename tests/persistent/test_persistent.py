"""Every sample goes on from its own last lifted variables."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import QUICK, assert_same, values
from persisted import BATCH, SGD, N, X, Y, build, by_hand, coordinates, dataset

import keras_lifted as kl


def test_the_index_survives_shuffling():
    """Weights fixed: three shuffled epochs are three steps of every sample."""
    model = build(0.0)
    model.fit(X, Y, epochs=3, batch_size=5, verbose=0)  # the last batch is of 2
    assert values([model.optimizer.memory.seen])[0].all()
    assert_same(coordinates(model), by_hand(model, 3), atol=2e-4)


class Slices(keras.utils.PyDataset):
    """Batches of 4 samples in an order of its own."""

    order = np.random.default_rng(0).permutation(N)

    def __len__(self):
        return 3

    def __getitem__(self, i):
        part = self.order[4 * i : 4 * i + 4]
        return kl.indexed(X[part], part), Y[part]

    def on_epoch_end(self):
        self.order = self.order[::-1]


@pytest.mark.parametrize("make", [dataset, Slices])
def test_data_sets_bring_their_index(make):
    model = build(persistent=N)
    data = make()
    model.fit(data, epochs=2, shuffle=False, verbose=0)
    assert_same(coordinates(model), by_hand(model, 2), atol=2e-4)
    assert np.isfinite(model.evaluate(data, verbose=0))  # the index is not read
    assert model.predict(data, verbose=0).shape == (N, 1)


def test_samples_seen_and_unseen_in_one_batch():
    model = build(persistent=N, **QUICK)
    first, both = np.arange(4), np.arange(8)
    for index in (first, both):
        model.train_on_batch(kl.indexed(X[index], index), Y[index])
    seen = values([model.optimizer.memory.seen])[0]
    assert seen.tolist() == [True] * 8 + [False] * 4
    twice, once = by_hand(model, 2), by_hand(model, 1)
    for got, two, one in zip(coordinates(model), twice, once):
        np.testing.assert_allclose(got[:4], two[:4], atol=2e-4)
        np.testing.assert_allclose(got[4:8], one[4:8], atol=2e-4)
        assert not got[8:].any()
    model.optimizer.forget()
    assert not values([model.optimizer.memory.seen])[0].any()


def test_fit_with_everything_else():
    """Several inputs, sample weights, validation data, an unbuilt model."""

    class Two(kl.LiftedMixin, keras.Model):
        def __init__(self):
            super().__init__()
            self.one = layers.Dense(3, "relu", name="one")
            self.out = layers.Dense(3, name="out")

        def call(self, inputs):
            return self.out(self.one(inputs["a"]) + inputs["b"])

    model, data = Two(), {"a": X, "b": X[:, :3]}
    update = kl.updates.ProximalGradient(2, "nesterov", order="red_black")
    optimizer = kl.optimizers.BlockCoordinateDescent(
        "adam", kl.penalties.Bregman(1.0), update, persistent=True
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = ["accuracy", kl.metrics.LiftedEnergy()]
    model.compile(optimizer, loss, metrics=metrics, jit_compile=True)
    labels = np.arange(N) % 3
    options = {"validation_split": 0.25, "class_weight": {0: 2.0, 1: 1.0, 2: 0.5}}
    before = model.lifted_variables(data, labels)  # needs no index
    history = model.fit(data, labels, epochs=2, **BATCH, **options).history
    assert "val_accuracy" in history and np.isfinite(history["lifted_energy"]).all()
    assert values([optimizer.memory.seen])[0].sum() == 9  # not the validation data
    weights = np.linspace(0, 2, N).astype("float32")
    model.fit(data, labels, sample_weight=weights, **BATCH)
    assert values([optimizer.memory.seen])[0].all()
    assert before["one"].shape == (N, 3)
    np.testing.assert_allclose(
        model.evaluate(data, labels, verbose=0),
        model.evaluate(kl.indexed(data, np.arange(N)), labels, verbose=0),
        rtol=1e-5,
    )


@pytest.mark.slow
def test_full_batch_training_lowers_the_energy():
    """2,000 random samples, 50 sweeps of one step per lifted variable."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 64)).astype("float32")
    y = np.argmax(x @ rng.normal(size=(64, 10)), 1)
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64,))
    h = layers.Dense(32, "tanh")(layers.Dense(32, "relu")(inputs))
    model = kl.LiftedModel(inputs, layers.Dense(10)(h))
    optimizer = kl.optimizers.BlockCoordinateDescent(
        SGD(0.02),
        kl.penalties.Bregman(1.0),
        kl.updates.ProximalGradient(1),
        persistent=True,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    energies = [kl.metrics.LiftedEnergy()]
    model.compile(optimizer, loss, metrics=energies, jit_compile=True)
    history = model.fit(x, y, batch_size=2000, epochs=50, verbose=0).history
    energy = np.array(history["lifted_energy"])
    assert (np.diff(energy) < 1e-6 * energy[:-1]).all()
    assert energy[-1] < 0.9 * energy[0]
    assert energy[0] < history["loss"][0]  # which is the forward pass's
    np.testing.assert_allclose(float(optimizer.lifted.caution), 1.0)


def test_steps_shorten_until_the_energy_falls():
    """A curvature bound 50 times too small."""
    model = build(
        0.0,
        kl.updates.ProximalGradient(1),
        activation="relu",
        metrics=[kl.metrics.LiftedEnergy()],
    )
    model.fit(X, Y, batch_size=N, verbose=0)
    bound = model.optimizer.lifted.curvature
    bound.assign(bound / 50.0)  # refreshed 50 steps later
    options = {"batch_size": N, "epochs": 40, "verbose": 0}
    energy = model.fit(X, Y, **options).history["lifted_energy"]
    rises = np.diff(energy) > 1e-4
    assert not rises.any() and energy[-1] < energy[0], energy
    assert float(model.optimizer.lifted.caution) < 0.5
