"""Batches that are not finite teach the model nothing."""

import keras
import numpy as np
import pytest
from keras import layers
from mistakes import BCD, NAN, QUICK, X, Y, compiled

import keras_lifted as kl

U = kl.updates


def nan_loss(y, outputs):
    return keras.ops.mean(outputs - y, axis=-1) * float("nan")


@pytest.mark.parametrize("update", ["sweep", "proximal_gradient"])
@pytest.mark.parametrize("what", ["x", "y", "loss"])
def test_a_loss_that_is_no_number_ends_the_training(what, update):
    """One bad sample; the weights stay finite and unchanged by its batch."""
    lifted = compiled(BCD("adam", lifted_update=update), nan_loss)
    if what != "loss":
        lifted = compiled(BCD("adam", lifted_update=update))
    x = NAN if what == "x" else X
    y = NAN[:, 1:2] if what == "y" else Y
    before = lifted.get_weights()
    reason = "look for NaN" if what == "loss" else f"`{what}` is not finite in 1 of 8"
    with pytest.warns(UserWarning, match=f"after epoch 1, so training .*{reason}"):
        history = lifted.fit(x, y, batch_size=8, epochs=3, verbose=0).history
    assert len(history["loss"]) == 1
    for old, new in zip(before, lifted.get_weights()):
        np.testing.assert_array_equal(new, old)
    for variable in lifted.optimizer.weight_optimizer.variables:
        assert np.isfinite(keras.ops.convert_to_numpy(variable)).all()


def test_training_recovers_from_a_bad_batch():
    """Batches after a NaN train as usual, batch statistics included."""
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(3, activation="relu")(inputs))
    lifted = kl.LiftedModel(inputs, layers.Dense(1)(x))
    update = U.ProximalGradient(2)
    lifted.compile(BCD("adam", lifted_update=update), "mse", **QUICK)
    lifted.train_on_batch(NAN, Y)
    lifted.reset_metrics()
    before = lifted.get_weights()
    logs = lifted.train_on_batch(X, Y, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values()), logs
    for old, new in zip(before, lifted.get_weights()):
        assert np.isfinite(new).all()
        assert not np.array_equal(new, old)


@pytest.mark.parametrize("how", ["adamw", "momentum", "scaled"])
def test_a_bad_batch_after_good_ones_changes_nothing(how):
    """Neither momentum nor weight decay move a weight, nor batch statistics."""
    optimizers = keras.optimizers
    optimizer = {
        "adamw": lambda: optimizers.AdamW(0.1, weight_decay=0.5),
        "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
        "scaled": lambda: optimizers.LossScaleOptimizer(optimizers.Adam(0.1)),
    }[how]()
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(3, activation="relu")(inputs))
    lifted = kl.LiftedModel(inputs, layers.Dense(1)(x))
    lifted.compile(optimizer, "mse", **QUICK)
    for _ in range(2):
        lifted.train_on_batch(X, Y)
    before = lifted.get_weights()
    states = [keras.ops.convert_to_numpy(v) for v in lifted.optimizer.variables]
    lifted.train_on_batch(NAN, Y)
    for old, new in zip(before, lifted.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    for old, new in zip(states, lifted.optimizer.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(new), old)


def test_a_gradient_that_is_no_number_skips_the_step():
    """The loss is finite: the derivative of a root at zero is not."""
    inputs = keras.Input((4,))
    x = layers.Dense(3, activation="relu", kernel_initializer="zeros")(inputs)
    root = layers.Lambda(lambda x: keras.ops.sqrt(x))(x)
    lifted = kl.LiftedModel(inputs, layers.Dense(1)(root))
    lifted.compile("adam", "mse", **QUICK)
    before = lifted.get_weights()
    lifted.train_on_batch(X, Y)
    for old, new in zip(before, lifted.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
