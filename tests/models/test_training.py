"""model.fit by lifting: every way to run it, every way to weigh the data.

The sweep of the quadratic penalty *is* backpropagation, so with it a lifted
model must follow plain Keras step by step, whatever else is switched on.
"""

import keras
import numpy as np
import pytest
from keras import layers
from networks import COMPILED
from networks import JAX
from networks import QUICK
from networks import assert_same
from networks import conv
from networks import data
from networks import mlp
from networks import target
from networks import two_in_two_out
from networks import values

import keras_lifted as kl


def bcd(inner="sgd", penalty=None, update=None, **kwargs):
    return kl.optimizers.BlockCoordinateDescent(inner, penalty, update, **kwargs)


def backprop(inner):
    """A lifted optimizer that is backpropagation."""
    return bcd(inner, kl.penalties.Quadratic(0.7))


def small(activation="relu", outputs=1, **dense):
    """One lifted block; the same weights each time."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation=activation, name="hidden", **dense)(inputs)
    return keras.Model(inputs, layers.Dense(outputs, name="out")(x))


def tensor(array):
    return None if array is None else keras.ops.convert_to_tensor(array)


def twins(build, path):
    """A plain model and a lifted one with layers of their own, equal weights."""
    plain, other = build(), build()
    plain.save_weights(path / "twin.weights.h5")
    other.load_weights(path / "twin.weights.h5")
    if isinstance(other.input, dict):
        return plain, kl.LiftedModel(other.input, other.output)
    return plain, kl.LiftedModel(other.inputs, other.outputs)


# -- ways to run ----------------------------------------------------------------

N = 20  # two batches of 8 and a partial one of 4


def run(train, **compile_kwargs):
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    update = kl.updates.ProximalGradient(2)
    optimizer = bcd(keras.optimizers.Adam(0.01), kl.penalties.Bregman(1.0), update)
    model.compile(optimizer, "mse", **compile_kwargs)
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


UPDATES = {
    "sweep": kl.updates.Sweep(),
    "proximal_gradient": kl.updates.ProximalGradient(3),
    "nesterov": kl.updates.ProximalGradient(3, acceleration="nesterov"),
    "heavy_ball": kl.updates.ProximalGradient(3, acceleration="heavy_ball"),
    "adam": kl.updates.ProximalGradient(3, acceleration="adam", tolerance=1e-9),
    "mirror": kl.updates.Mirror(3),
}


@pytest.mark.parametrize("penalty", ["bregman", "quadratic"])
@pytest.mark.parametrize("update", UPDATES)
def test_every_update_trains_under_xla(update, penalty):
    plain = small("tanh")
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    optimizer = bcd(keras.optimizers.Adam(0.02), penalty, UPDATES[update])
    model.compile(optimizer, "mse", jit_compile=True)
    history = model.fit(data(4), target(), batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["lifted_gap"]) > 0
    energy, loss = np.array(history["lifted_energy"]), np.array(history["loss"])
    if update == "sweep":  # the weights see the blocks as the forward pass did
        penalty = model.optimizer.penalty.weight * np.array(history["lifted_gap"])
        np.testing.assert_allclose(energy, loss + penalty, rtol=1e-4)
    else:  # the forward pass is where the energy is the loss
        assert (energy < loss).all() and (energy > 0.5 * loss).all()
    steps = getattr(UPDATES[update], "steps", 1)
    assert float(model.optimizer.lifted.iterations) == steps


# -- like plain Keras, step by step ------------------------------------------------


def l2():
    return small(
        kernel_regularizer=keras.regularizers.L2(0.1),
        activity_regularizer=keras.regularizers.L1(0.05),
    )


class Penalised(layers.Layer):
    """A layer with an `add_loss` of its own."""

    def call(self, x):
        self.add_loss(0.1 * keras.ops.mean(keras.ops.square(x)))
        return x


def with_add_loss():
    inputs = keras.Input((4,))
    x = Penalised()(layers.Dense(6, activation="tanh")(inputs))
    return keras.Model(inputs, layers.Dense(1)(x))


def frozen():
    model = mlp()[0]
    model.layers[1].trainable = False
    return model


def dropout():
    inputs = keras.Input((4,))
    x = layers.Dense(16, activation="relu")(inputs)
    x = layers.Dropout(0.5, seed=5)(x)
    x = layers.Dense(16, activation="relu")(x)
    x = layers.GaussianNoise(0.3, seed=6)(x)
    return keras.Model(inputs, layers.Dense(1)(x))


def classifier():
    return small("elu", outputs=3)


LABELS = np.arange(32) % 3
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SGD = keras.optimizers.SGD
FIT = {"x": data(4), "y": target()}
SCHEDULE = keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
WEIGHTS = np.linspace(0, 3, 32).astype("float32")
# name: (model, inner optimizer, loss, arguments of fit)
CASES = {
    "regularizers": (l2, lambda: SGD(0.1), "mse", FIT),
    "add_loss": (with_add_loss, lambda: SGD(0.1), "mse", FIT),
    "frozen": (frozen, lambda: SGD(0.1), "mse", FIT),
    "dropout": (dropout, lambda: SGD(0.1), "mse", FIT),
    "batch_norm": (
        lambda: conv()[0],
        lambda: SGD(0.1),
        "sparse_categorical_crossentropy",
        {"x": conv()[1], "y": conv()[2]},
    ),
    "two_outputs": (
        lambda: two_in_two_out()[0],
        lambda: SGD(0.1),
        two_in_two_out()[3],
        {"x": two_in_two_out()[1], "y": two_in_two_out()[2]},
    ),
    "sample_weight": (small, lambda: SGD(0.1), "mse", FIT | {"sample_weight": WEIGHTS}),
    "class_weight": (
        classifier,
        lambda: SGD(0.1),
        CROSS_ENTROPY,
        {"x": data(4), "y": LABELS, "class_weight": {0: 3.0, 1: 1.0, 2: 0.5}},
    ),
    "sum": (small, lambda: SGD(0.01), keras.losses.MeanSquaredError("sum"), FIT),
    "mean_with_sample_weight": (
        small,
        lambda: SGD(0.1),
        keras.losses.MeanSquaredError("mean_with_sample_weight"),
        FIT | {"sample_weight": WEIGHTS},
    ),
    "average": (
        small,
        lambda: SGD(0.1, momentum=0.9, use_ema=True, ema_momentum=0.5),
        "mse",
        FIT,
    ),
    "accumulation": (
        small,
        lambda: SGD(0.1, gradient_accumulation_steps=2),
        "mse",
        FIT,
    ),
    "adamw_clipped_schedule": (
        small,
        lambda: keras.optimizers.AdamW(SCHEDULE, weight_decay=0.1, clipnorm=0.5),
        "mse",
        FIT,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_backprop_sweep_follows_keras(case, tmp_path):
    build, inner, loss, batch = CASES[case]
    plain, model = twins(build, tmp_path)
    before = values(model.weights)
    plain.compile(inner(), loss, jit_compile=COMPILED)
    model.compile(backprop(inner()), loss, jit_compile=COMPILED)
    options = {"batch_size": 8, "epochs": 1, "shuffle": False, "verbose": 0}
    expected = plain.fit(**batch, **options).history["loss"]
    history = model.fit(**batch, **options).history
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-4)
    assert_same(values(model.weights), values(plain.weights), atol=3e-5, rtol=1e-4)
    moved = [not np.array_equal(a, b) for a, b in zip(before, values(model.weights))]
    still = 2 if case == "frozen" else 0
    assert moved.count(False) == still
    rate = model.optimizer.learning_rate
    np.testing.assert_allclose(rate, plain.optimizer.learning_rate, rtol=1e-6)


@pytest.mark.parametrize("update", ["proximal_gradient", "nesterov"])
def test_state_is_updated_once_per_step(update, tmp_path):
    """Batch statistics and dropout seeds after steps of several passes."""

    def build():
        inputs = keras.Input((4,))
        x = layers.BatchNormalization()(layers.Dense(6, activation="relu")(inputs))
        x = layers.Dropout(0.5, seed=5)(x)
        return keras.Model(inputs, layers.Dense(1)(x))

    plain, model = twins(build, tmp_path)
    plain.compile(SGD(0.0), "mse", jit_compile=COMPILED)
    model.compile(bcd(SGD(0.0), update=UPDATES[update]), "mse", jit_compile=COMPILED)
    for each in (plain, model):
        each.fit(data(4), target(), batch_size=16, shuffle=False, verbose=0)
    state = values(model.non_trainable_variables)
    assert len(state) == 3
    assert_same(state, values(plain.non_trainable_variables), atol=1e-6)


@pytest.mark.parametrize("update", ["proximal_gradient", "adam"])
def test_dropout_masks_repeat_within_a_step(update, tmp_path):
    """At a large weight the step is backprop's, if every pass drops the same."""

    def build():
        inputs = keras.Input((4,))
        x = layers.Dense(16, activation="relu")(inputs)
        x = layers.Dropout(0.5, seed=5)(x)
        return keras.Model(inputs, layers.Dense(1)(x))

    plain, model = twins(build, tmp_path)
    before = values(model.weights)
    plain.compile(SGD(1.0), "mse", **QUICK)
    penalty = kl.penalties.Bregman(1000.0)
    model.compile(bcd(SGD(1.0), penalty, UPDATES[update]), "mse", **QUICK)
    plain.train_on_batch(tensor(data(4)), tensor(target()))
    with pytest.warns(UserWarning, match="resolves penalty weights up to 100"):
        model.train_on_batch(tensor(data(4)), tensor(target()))
    for old, new, expected in zip(before, values(model.weights), values(plain.weights)):
        error = np.linalg.norm(new - expected) / np.linalg.norm(expected - old)
        assert error < 0.05


# -- weights of samples ------------------------------------------------------------


def one_step(x, y, loss, sample_weight=None, update=None):
    """Weight changes of one SGD step, and the lifted variables."""
    plain = small("tanh")
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    optimizer = bcd(SGD(1.0), kl.penalties.Bregman(1.0), update)
    model.compile(optimizer, loss, **QUICK)
    lifted = model.lifted_variables(x, y, sample_weight)["hidden"]
    before = values(model.weights)
    model.train_on_batch(*map(tensor, (x, y, sample_weight)))
    return [b - a for a, b in zip(before, values(model.weights))], lifted


@pytest.mark.parametrize("update", ["sweep", "proximal_gradient"])
def test_a_sample_of_weight_two_is_two_samples(update):
    x, y = data(4)[:3], target()[:3]
    weight = np.array([2.0, 1.0, 1.0], "float32")
    twice = [0, 0, 1, 2]
    update = UPDATES[update]
    for reduction, ratio in (("sum", 1.0), ("sum_over_batch_size", 4 / 3)):
        loss = keras.losses.MeanSquaredError(reduction)
        weighted, lifted = one_step(x, y, loss, weight, update)
        doubled, all_lifted = one_step(x[twice], y[twice], loss, None, update)
        expected = [ratio * d for d in doubled]
        assert_same(weighted, expected, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(lifted, all_lifted[1:], atol=1e-4)


def test_reductions_only_multiply_the_energy():
    x, y = data(4)[:8], target()[:8]
    weight = np.linspace(0.5, 2, 8).astype("float32")
    mean, lifted = one_step(x, y, keras.losses.MeanSquaredError())
    total, same = one_step(x, y, keras.losses.MeanSquaredError("sum"))
    np.testing.assert_allclose(same, lifted, atol=1e-6)
    assert_same(total, [8 * d for d in mean], rtol=1e-4, atol=1e-5)
    average = keras.losses.MeanSquaredError("mean_with_sample_weight")
    averaged, _ = one_step(x, y, average, weight)
    weighted, _ = one_step(x, y, keras.losses.MeanSquaredError("sum"), weight)
    assert_same(averaged, [d / weight.sum() for d in weighted], rtol=1e-4, atol=1e-6)


def test_a_sample_of_no_weight_changes_nothing():
    x, y = data(4)[:3], target()[:3]
    loss = keras.losses.MeanSquaredError("sum")
    weight = np.array([1.0, 1.0, 0.0], "float32")
    with_it, _ = one_step(x, y, loss, weight)
    without, _ = one_step(x[:2], y[:2], loss)
    assert_same(with_it, without, atol=1e-5)


# -- precision ---------------------------------------------------------------------


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("update", ["sweep", "proximal_gradient"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"], indirect=True)
def test_mixed_precision(policy, update):
    x, y = data(4), target()
    before = values(small().weights)

    def step():
        plain = small()
        model = kl.LiftedModel(plain.inputs, plain.outputs)
        optimizer = bcd(SGD(0.1), kl.penalties.Bregman(2.0), UPDATES[update])
        model.compile(optimizer, "mse", jit_compile=COMPILED)
        logs = model.train_on_batch(x, y, return_dict=True)
        changes = [b - a for a, b in zip(before, values(model.weights))]
        return model, changes, logs

    model, changes, logs = step()
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert model.layers[1].compute_dtype == policy.removeprefix("mixed_")
    keras.config.set_dtype_policy("float32")
    _, expected, exact = step()
    for change, wanted in zip(changes, expected):
        error = np.linalg.norm(change - wanted) / np.linalg.norm(wanted)
        assert error < (0.01 if scaled else 0.06)
    for name in ("loss", "lifted_energy", "lifted_gap"):
        np.testing.assert_allclose(logs[name], exact[name], rtol=0.05)
    lifted = kl.optimizers.lifted_part(model.optimizer)
    assert float(lifted.lifted.caution) == 1.0


# -- callbacks and metrics -----------------------------------------------------------


def test_callbacks_see_the_learning_rate():
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    model.compile(bcd(SGD(0.5)), "mse", jit_compile=COMPILED)
    assert float(model.optimizer.learning_rate) == 0.5
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=9),
    ]
    history = model.fit(
        data(4), target(), epochs=3, verbose=0, callbacks=callbacks
    ).history
    assert float(model.optimizer.inner_optimizer.learning_rate) < 0.01
    rates = history["learning_rate"]
    np.testing.assert_allclose(rates, [0.25, 0.125, 0.00625], rtol=1e-5)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore(tmp_path):
    def train(epochs, *callbacks, stop=False):
        plain = small()
        model = kl.LiftedModel(plain.inputs, plain.outputs)
        optimizer = bcd("adam", update=kl.updates.Mirror(1), curvature_refresh=3)
        model.compile(optimizer, "mse", jit_compile=COMPILED)
        arguments = {"epochs": epochs, "batch_size": 16, "shuffle": False}
        arguments |= {"verbose": 0, "callbacks": list(callbacks)}
        if not stop:
            model.fit(data(4), target(), **arguments)
            return model
        with pytest.raises(KeyboardInterrupt):
            model.fit(data(4), target(), **arguments)

    backup = str(tmp_path / "backup")
    expected = train(4)
    train(4, keras.callbacks.BackupAndRestore(backup), Interrupt(), stop=True)
    model = train(4, keras.callbacks.BackupAndRestore(backup))
    assert int(model.optimizer.iterations) == 8
    assert_same(values(model.weights), values(expected.weights), atol=1e-5)
    state = values(model.optimizer.variables)
    assert_same(state, values(expected.optimizer.variables), rtol=1e-3, atol=1e-5)


def test_lifted_metrics_belong_to_training():
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    model.compile("sgd", "mse", metrics=["mae"], jit_compile=COMPILED)
    x, y = data(4), target()
    before = model.lifted_gaps(x, y)["hidden"]
    history = model.fit(x, y, batch_size=32, validation_data=(x, y), verbose=0).history
    trained = {"loss", "mae", "lifted_gap", "lifted_energy"}
    assert set(history) == trained | {"val_loss", "val_mae"}
    np.testing.assert_allclose(history["lifted_gap"], [before], rtol=1e-3)
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(evaluated) == {"loss", "mae"}
    np.testing.assert_allclose(evaluated["loss"], history["val_loss"][0], rtol=1e-5)
    assert model.metrics_names == ["loss", "compile_metrics"] + [
        "lifted_gap",
        "lifted_energy",
    ]


def test_partial_batches_weigh_by_their_samples():
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    model.compile(bcd(SGD(0.0)), "mse", jit_compile=COMPILED)
    x, y = data(4)[:N], target()[:N]
    expected = model.lifted_gaps(x, y)["hidden"]
    history = model.fit(x, y, batch_size=8, verbose=0).history
    np.testing.assert_allclose(history["lifted_gap"], [expected], rtol=1e-3)
    np.testing.assert_allclose(
        history["loss"], [model.evaluate(x, y, verbose=0)], rtol=1e-5
    )
