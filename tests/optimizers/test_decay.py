"""The decay of the rate over the steps of `fit`."""

import keras
import numpy as np
from fitted import ISGM
from fitted import X
from fitted import Y
from fitted import fitted
from fitted import mlp

from keras_lifted.models.horizon import Horizon


def test_decay_covers_the_epochs_of_fit():
    optimizer = ISGM()
    model, _ = fitted(optimizer, epochs=4)
    assert float(optimizer.decay.length) == 32
    last = float(optimizer.decay.factor(optimizer.iterations - 1))
    assert np.isclose(last, 1 - (31 / 32) ** 1.5)
    assert float(optimizer.decay.factor(optimizer.iterations)) == 1.0
    model.fit(X, Y, batch_size=32, epochs=2, verbose=0)
    assert float(optimizer.decay.begin) == 32
    assert float(optimizer.decay.length) == 16
    model.fit(X, Y, batch_size=32, initial_epoch=1, epochs=2, verbose=0)
    assert float(optimizer.decay.begin) == 48 - 8


def test_decay_counts_steps_that_are_not_known():
    model, optimizer = mlp(), ISGM()
    model.compile(optimizer=optimizer, loss="mse", jit_compile=True)
    optimizer.build(model.trainable_variables)
    watch = Horizon()
    watch.set_model(model)
    watch.set_params({"epochs": 3, "steps": None})
    watch.on_epoch_begin(0)
    assert float(optimizer.decay.length) == 0
    optimizer.iterations.assign(8)
    watch.on_epoch_begin(1)
    assert float(optimizer.decay.length) == 24


def test_a_schedule_takes_the_place_of_the_decay():
    optimizer = ISGM(keras.optimizers.schedules.CosineDecay(0.03, 60))
    fitted(optimizer, epochs=2)
    assert float(optimizer.decay.length) == 0


def test_decay_can_be_given_or_left_out():
    optimizer = ISGM(decay_steps=100)
    optimizer.build([keras.Variable(np.zeros(3))])
    assert float(optimizer.decay.length) == 100
    assert np.isclose(float(optimizer.decay.factor(50)), 1 - 0.5**1.5)
    assert float(optimizer.decay.factor(100)) == 0.0
    optimizer = ISGM(decay_steps=None)
    optimizer.build([keras.Variable(np.zeros(3))])
    assert float(optimizer.decay.factor(10**6)) == 1.0


def test_decay_counts_steps_of_several_batches():
    optimizer = ISGM(gradient_accumulation_steps=2)
    fitted(optimizer, epochs=3)
    assert float(optimizer.decay.length) == 12
    last = float(optimizer.decay.factor(optimizer.iterations - 1))
    assert np.isclose(last, 1 - (11 / 12) ** 1.5)
