"""Batches that are not finite teach the model nothing."""

import keras
import numpy as np
import pytest
from keras import layers
from mistakes import BCD
from mistakes import NAN
from mistakes import QUICK
from mistakes import X
from mistakes import Y
from mistakes import compiled

import keras_lifted as kl

U = kl.updates


def nan_loss(y, outputs):
    return keras.ops.mean(outputs - y, axis=-1) * float("nan")


@pytest.mark.parametrize("update", ["sweep", "proximal_gradient"])
@pytest.mark.parametrize("what", ["x", "y", "loss"])
def test_a_loss_that_is_no_number_stops_the_training(what, update):
    """One bad sample; the weights stay finite and unchanged by its batch."""
    lifted = compiled(BCD("adam", lifted_update=update), nan_loss)
    if what != "loss":
        lifted = compiled(BCD("adam", lifted_update=update))
    x = NAN if what == "x" else X
    y = NAN[:, 1:2] if what == "y" else Y
    before = lifted.get_weights()
    with pytest.raises(ValueError, match="The loss is nan after epoch 1. Expected"):
        lifted.fit(x, y, batch_size=8, epochs=3, verbose=0)
    for old, new in zip(before, lifted.get_weights()):
        np.testing.assert_array_equal(new, old)
    for variable in lifted.optimizer.inner_optimizer.variables:
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
