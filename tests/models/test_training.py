"""model.fit by lifting: like plain Keras, step by step.

The sweep of the quadratic penalty *is* backpropagation, so with it a lifted
model must follow plain Keras step by step, whatever else is switched on.
"""

import keras
import numpy as np
import pytest
from keras import layers
from networks import (
    COMPILED,
    QUICK,
    assert_same,
    conv,
    data,
    mlp,
    target,
    two_in_two_out,
    values,
)
from recipes import SGD, UPDATES, bcd, small, tensor

import keras_lifted as kl


def backprop(inner):
    """A lifted optimizer that is backpropagation."""
    return bcd(inner, kl.penalties.Quadratic(0.7))


def twins(build, path):
    """A plain model and a lifted one with layers of their own, equal weights."""
    plain, other = build(), build()
    plain.save_weights(path / "twin.weights.h5")
    other.load_weights(path / "twin.weights.h5")
    if isinstance(other.input, dict):
        return plain, kl.LiftedModel(other.input, other.output)
    return plain, kl.LiftedModel(other.inputs, other.outputs)


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
