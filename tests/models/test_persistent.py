"""Persistent lifted variables: every sample goes on from its own last ones."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import COMPILED
from networks import QUICK
from networks import assert_same
from networks import values

import keras_lifted as kl

N = 12
SGD = keras.optimizers.SGD
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, 4)).astype("float32")
Y = RNG.normal(size=(N, 1)).astype("float32")
BATCH = {"batch_size": 3, "verbose": 0}


def build(rate=0.0, update=None, persistent=True, activation="tanh", **options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation, name="one")(inputs)
    x = layers.Dense(5, activation, name="two")(x)
    model = kl.LiftedModel(inputs, layers.Dense(1, name="out")(x))
    optimizer = kl.optimizers.BlockCoordinateDescent(
        SGD(rate),
        kl.penalties.Bregman(1.0),
        update or kl.updates.Mirror(1),
        persistent=persistent,
    )
    model.compile(optimizer, "mse", **({"jit_compile": COMPILED} | options))
    return model


def carriers(model):
    store = model.optimizer.memory.store
    if hasattr(store, "carriers"):
        return values([store.carriers["one"], store.carriers["two"]])
    return values(store.read(np.arange(N), True)[0].values())


def by_hand(model, sweeps, sample_weight=None, x=X, y=Y):
    """Mirror steps of each sample from the forward pass, weights fixed."""
    (w1, b1), (w2, b2), (w3, b3) = (
        [a.astype("float64") for a in model.get_layer(name).get_weights()]
        for name in ("one", "two", "out")
    )
    one, two = values([model.optimizer.lifted.curvature])[0].astype("float64")
    v1 = z1 = x @ w1 + b1
    v2 = np.tanh(v1) @ w2 + b2
    for _ in range(sweeps):
        z2 = np.tanh(v1) @ w2 + b2
        error = np.tanh(v2) @ w3 + b3 - y
        v2 = v2 + (z2 - 2 * error @ w3.T - v2) / (1 + two)
        q1 = (np.tanh(z2) - np.tanh(v2)) @ w2.T
        v1 = v1 + (z1 - q1 - v1) / (1 + one)
    return v1, v2


def test_the_index_survives_shuffling():
    """Weights fixed: three shuffled epochs are three steps of every sample."""
    model = build(0.0)
    model.fit(X, Y, epochs=3, batch_size=5, verbose=0)  # the last batch is of 2
    assert values([model.optimizer.memory.seen])[0].all()
    assert_same(carriers(model), by_hand(model, 3), atol=2e-4)


def dataset(x=X, y=Y, batch=4):
    import tensorflow as tf

    samples = tf.data.Dataset.from_tensor_slices((x, y))
    return kl.with_index(samples).shuffle(N).batch(batch)


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
    assert_same(carriers(model), by_hand(model, 2), atol=2e-4)
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
    for got, two, one in zip(carriers(model), twice, once):
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


# -- saving --------------------------------------------------------------------------


def state(model):
    return values([*model.weights, *model.optimizer.variables])


def test_training_goes_on_bit_by_bit_after_loading(tmp_path):
    model = build(0.1)
    options = {"shuffle": False, **BATCH}
    model.fit(X, Y, epochs=2, **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(state(loaded), state(model))
    settings = loaded.optimizer.persistent
    assert settings.get_config() == model.optimizer.persistent.get_config()
    for each in (model, loaded):
        each.fit(X, Y, epochs=2, **options)
    assert_same(state(loaded), state(model))


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore(tmp_path):
    def train(*callbacks):
        model = build(0.1)
        model.fit(X, Y, epochs=4, shuffle=False, callbacks=list(callbacks), **BATCH)
        return model

    backup = str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        train(keras.callbacks.BackupAndRestore(backup), Interrupt())
    resumed = train(keras.callbacks.BackupAndRestore(backup))
    assert_same(state(resumed), state(train()))


# -- on disk -------------------------------------------------------------------------


def on_disk(folder, **options):
    """A model whose optimizer keeps lifted variables in files."""
    tight = kl.optimizers.Persistent(memory_limit=1e-9, directory=folder, **options)
    return build(0.1, persistent=tight, jit_compile=keras.backend.backend() == "jax")


def test_files_serve_as_memory_does(tmp_path):
    """Through shuffling, loading, and a folder that is gone."""
    model, other = on_disk(tmp_path / "a"), build(0.1)
    for each in (model, other):
        keras.utils.set_random_seed(3)
        each.fit(X, Y, epochs=3, batch_size=5, verbose=0)
    assert_same(values(model.weights), values(other.weights), atol=1e-5)
    assert_same(carriers(model), carriers(other), atol=1e-4)
    assert len(model.optimizer.memory.variables) == 1  # which samples were seen
    assert {each.name for each in (tmp_path / "a").iterdir()} == {
        "carrier_0.npy",
        "carrier_1.npy",
        "seen.npy",
    }
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(carriers(loaded), carriers(model))
    loaded.fit(X, Y, epochs=1, **BATCH)
    (tmp_path / "a").rename(tmp_path / "b")
    lost = keras.models.load_model(tmp_path / "model.keras")
    _, seen = lost.optimizer.memory.store.read(np.arange(N), np.ones(N, bool))
    assert not values([seen])[0].any()  # these start at the forward pass
    lost.fit(X, Y, epochs=1, **BATCH)
    assert np.isfinite(np.concatenate([w.ravel() for w in carriers(lost)])).all()


def test_files_of_other_shapes_are_replaced(tmp_path):
    on_disk(tmp_path).fit(X, Y, **BATCH)
    model = on_disk(tmp_path)
    model.fit(X[:9], Y[:9], epochs=2, **BATCH)
    assert model.optimizer.memory.store.read(np.arange(9), True)[1].shape == (9,)
    (tmp_path / "seen.npy").write_bytes(b"no numbers")
    on_disk(tmp_path).fit(X, Y, **BATCH)
    small = on_disk(tmp_path / "new", samples=N)
    small.optimizer.persistent.memory_limit = 4.0
    small.fit(X, Y, **BATCH)
    assert not (tmp_path / "new").exists()  # there was room in memory


def test_a_nan_batch_leaves_the_files(tmp_path):
    model = on_disk(tmp_path)
    model.fit(X, Y, **BATCH)
    before = carriers(model)
    with pytest.warns(UserWarning, match="not finite"):
        model.fit(np.full_like(X, np.nan), Y, **BATCH)
    assert_same(carriers(model), before)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA calls back")
def test_steps_that_read_files_leave_xla(tmp_path):
    tight = kl.optimizers.Persistent(memory_limit=1e-9, directory=tmp_path)
    model = build(0.1, persistent=tight, jit_compile=True)
    with pytest.warns(UserWarning, match="jit_compile=False"):
        model.fit(X, Y, **BATCH)
    assert values([model.optimizer.memory.seen])[0].all()


# -- energy --------------------------------------------------------------------------


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


# -- misuse --------------------------------------------------------------------------


def plain_dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def generator():
    yield X, Y


def fitted():
    model = build()
    model.fit(X, Y, **BATCH)
    return model


def batch(index):
    build(persistent=N, **QUICK).train_on_batch(kl.indexed(X, index), Y)


BCD = kl.optimizers.BlockCoordinateDescent
MISUSE = {
    "dataset": (lambda: build(persistent=N).fit(plain_dataset()), "with_index"),
    "generator": (lambda: build(persistent=N).fit(generator()), "generator"),
    "batch": (lambda: build(persistent=N).train_on_batch(X, Y), "batch of arrays"),
    "number": (lambda: build().fit(dataset()), "number of training samples"),
    "other size": (lambda: fitted().fit(X[:9], Y[:9]), "12 samples. Received: 9"),
    "floats": (lambda: batch(np.ones(N, "float32")), "must be integers"),
    "column": (lambda: batch(np.ones((N, 1), "int32")), r"\(batch,\)"),
    "memory": (
        lambda: build(persistent=kl.optimizers.Persistent(10**9)).fit(dataset()),
        "41 GiB",
    ),
    "disk": (
        lambda: build(
            persistent=kl.optimizers.Persistent(10**13, directory="small_disk")
        ).fit(dataset()),
        "GiB to spare",
    ),
    "sweep": (lambda: BCD(persistent=True), "Choose steps bounded"),
    "samples": (lambda: BCD(persistent=-3), "at least 1"),
    "limit": (lambda: kl.optimizers.Persistent(memory_limit=0), "positive"),
    "word": (lambda: BCD(persistent="yes"), "True, False"),
    "order": (lambda: kl.updates.Mirror(order="random"), "red_black"),
    "arrays": (lambda: kl.with_index((X, Y)), "tf.data.Dataset of samples"),
}


@pytest.mark.parametrize("what", MISUSE)
def test_misuse(what, monkeypatch, tmp_path):
    act, words = MISUSE[what]
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=words):
        act()


def test_an_index_outside_of_the_samples():
    model = build(0.1, persistent=N)
    before = values(model.weights)
    with pytest.warns(UserWarning, match="index outside of the samples"):
        model.fit(kl.indexed(X, np.arange(N) + 1), Y, batch_size=N, verbose=0)
    assert_same(values(model.weights), before)
    assert not values([model.optimizer.memory.seen])[0].any()
