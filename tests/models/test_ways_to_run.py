"""Every way to run `fit`, and every update in it, takes the steps it should."""

import keras
import numpy as np
import pytest
from networks import COMPILED, JAX, assert_same, data, target, values
from recipes import UPDATES, N, bcd, lifted_metrics, small

import keras_lifted as kl


def run(train, **compile_kwargs):
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    update = kl.updates.ProximalGradient(2)
    optimizer = bcd(keras.optimizers.Adam(0.01), kl.penalties.Bregman(1.0), update)
    model.compile(optimizer, "mse", metrics=lifted_metrics(), **compile_kwargs)
    train(model, data(4)[:N], target()[:N])
    assert int(model.optimizer.iterations) == 3
    return values(model.weights)


def fit_arrays(model, x, y):
    history = model.fit(x, y, batch_size=8, shuffle=False, verbose=0).history
    assert set(history) == {"loss", "lifted_gap", "lifted_energy"}


def fit_dataset(model, x, y):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    model.fit(dataset, shuffle=False, verbose=0)


class Slices(keras.utils.PyDataset):
    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return 3

    def __getitem__(self, i):
        part = slice(8 * i, 8 * i + 8)
        return self.x[part], self.y[part]


def fit_py_dataset(model, x, y):
    model.fit(Slices(x, y), shuffle=False, verbose=0)


def train_on_batches(model, x, y):
    for i in range(3):
        part = slice(8 * i, 8 * i + 8)
        logs = model.train_on_batch(x[part], y[part], return_dict=True)
    assert logs["lifted_gap"] > 0


@pytest.fixture(scope="module")
def reference():
    """Compiled by XLA."""
    return run(fit_arrays, jit_compile=True)


RUNS = {
    "tf.data": (fit_dataset, {"jit_compile": COMPILED}),
    "PyDataset": (fit_py_dataset, {"jit_compile": COMPILED}),
    "train_on_batch": (train_on_batches, {"jit_compile": COMPILED}),
    "steps_per_execution": (
        fit_arrays,
        {"jit_compile": True, "steps_per_execution": 2},
    ),
}
if not JAX:
    RUNS["eager"] = (fit_arrays, {"run_eagerly": True})


@pytest.mark.parametrize("how", RUNS)
def test_every_way_to_run_takes_the_same_steps(how, reference):
    train, options = RUNS[how]
    before = values(small().weights)
    assert not np.allclose(reference[0], before[0], atol=1e-3)
    assert_same(run(train, **options), reference, atol=2e-5)


@pytest.mark.parametrize("penalty", ["bregman", "quadratic"])
@pytest.mark.parametrize("update", UPDATES)
def test_every_update_trains_under_xla(update, penalty):
    plain = small("tanh")
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    optimizer = bcd(keras.optimizers.Adam(0.02), penalty, UPDATES[update])
    model.compile(optimizer, "mse", metrics=lifted_metrics(), jit_compile=True)
    history = model.fit(data(4), target(), batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["lifted_gap"]) > 0
    energy, loss = np.array(history["lifted_energy"]), np.array(history["loss"])
    if update == "sweep":  # the weights see the blocks as the forward pass did
        assert (energy >= loss).all() and (energy < 1.01 * loss).all()
    else:  # the forward pass is where the energy is the loss
        assert (energy < loss).all() and (energy > 0.5 * loss).all()
    steps = getattr(UPDATES[update], "steps", 1)
    assert float(model.optimizer.lifted.iterations) == steps


@pytest.mark.parametrize("fed", ["arrays", "dataset", "generator", "batch"])
def test_a_step_is_traced_once(fed, monkeypatch):
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(inputs)
    model = kl.LiftedModel(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=COMPILED)
    traces = []
    step = kl.LiftedMixin.train_step

    def traced(*arguments):
        traces.append(arguments)
        return step(*arguments)

    monkeypatch.setattr(kl.LiftedMixin, "train_step", traced)
    x, y = data(4), np.arange(32) % 3
    pairs = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 32, 8)]
    if fed == "batch":
        model.train_on_batch(x, y)
    elif fed == "arrays":
        model.fit(x, y, batch_size=8, verbose=0)
    elif fed == "dataset":
        tf = pytest.importorskip("tensorflow")
        pairs = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
        model.fit(pairs, shuffle=False, verbose=0)
    else:
        seen = []
        steps = (seen.append(0) or pair for pair in pairs)
        model.fit(steps, steps_per_epoch=4, shuffle=False, verbose=0)
        assert len(seen) == 4
    assert len(traces) == 1
    assert "accuracy" in model.get_metrics_result()


@pytest.mark.skipif(not JAX, reason="TensorFlow updates variables in place")
def test_jax_returns_the_new_state_first(monkeypatch):
    """Outputs before it may overwrite the old one on CUDA, jax issue 39625."""
    import jax

    answers, jit = [], jax.jit

    def recorded(function, donate_argnums=None, **kwargs):
        compiled = jit(function, **kwargs)  # not donated, to look at the old state
        if donate_argnums != 0:
            return compiled
        return lambda *given: answers.append((given, compiled(*given))) or answers[0][1]

    monkeypatch.setattr(jax, "jit", recorded)
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    model.compile(bcd(keras.optimizers.Adam(0.01)), "mse", jit_compile=True)
    model.train_on_batch(data(4)[:8], target()[:8])
    (((state, _), (new, logs)),) = answers
    assert "loss" in logs
    for old, found in zip(jax.tree.leaves(state), jax.tree.leaves(new), strict=True):
        assert old.shape == found.shape and old.dtype == found.dtype
