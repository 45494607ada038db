"""The learning rate of SteepestDescent, and its decay over the steps of a fit."""

import keras
import numpy as np
import pytest
from keras import ops
from small import JAX, KINDS, QUICK, X, Y, assert_same, descent, fit, network, trained

import keras_lifted as kl
from keras_lifted.geometries import is_due
from keras_lifted.optimizers.lengths import rate_at

# One step of a decay over so many, and what is left of the rate.
LEFT = [1 - (step / 4) ** 1.5 for step in range(4)]


def number(tensor):
    return float(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("kind", KINDS)
def test_a_float_a_schedule_and_a_callable(kind):
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 1000, alpha=1.0)
    rates = 0.05, schedule, lambda: 0.05
    one, *others = (trained(descent(rate), kind, 2) for rate in rates)
    for other in others:
        assert_same(one, other)


def test_a_schedule_is_followed():
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.05, 0.0])
    sgd = {"fallback": keras.optimizers.SGD(0.0)}
    twice = trained(descent(schedule, **sgd), steps=2)
    once = trained(descent(fallback=keras.optimizers.SGD(0.0)), steps=1)
    assert_same(twice, once)


def test_default_rates():
    assert [rate_at(count) for count in (0, 1, 9)] == [0.1] * 3
    assert rate_at(10_000) == pytest.approx(0.02)
    rates = [rate_at(count) for count in range(1, 60)]
    assert rates == sorted(rates, reverse=True)
    inputs = x = keras.Input((4,))
    for _ in range(30):
        x = keras.layers.Dense(4)(x)
    optimizer = kl.optimizers.SteepestDescent()
    optimizer.build(keras.Model(inputs, x).trainable_variables)
    assert number(optimizer.learning_rate) == pytest.approx(rate_at(30))


@pytest.mark.parametrize("cls", [keras.Model, kl.LiftedModel])
@pytest.mark.parametrize("given", [None, 0.05])
def test_the_rate_of_a_deep_network_in_training(cls, given):
    inputs = x = keras.Input((4,))
    for _ in range(30):
        x = keras.layers.Dense(4)(x)
    model = cls(inputs, x)
    optimizer = kl.optimizers.SteepestDescent(decay=None)
    if given is not None:  # before the kernels are counted
        optimizer.learning_rate = given
    model.compile(optimizer, "mse", jit_compile=False)
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 4)))
    expected = rate_at(30) if given is None else given
    assert number(model.optimizer.learning_rate) == pytest.approx(expected)


@pytest.mark.parametrize("stacked", [False, True])
def test_kernels_before_a_normalisation_do_not_count(stacked):
    def block():
        convolution = keras.layers.Conv2D(4, 3, padding="same")
        normalisation = keras.layers.BatchNormalization(scale=False)
        return keras.Sequential([convolution, normalisation, keras.layers.ReLU()])

    inputs = x = keras.Input((8, 8, 4))
    blocks = [kl.layers.Stack(block(), 20)] if stacked else [block() for _ in range(20)]
    for each in blocks:
        x = each(x)
    for _ in range(12):
        x = keras.layers.Dense(4)(x)
    optimizer = kl.optimizers.SteepestDescent()
    optimizer.build(keras.Model(inputs, x).trainable_variables)
    assert number(optimizer.learning_rate) == pytest.approx(rate_at(12))


def test_a_rate_that_is_set_is_kept():
    optimizer = descent(0.05, decay=8)
    model = trained(optimizer, steps=2)
    assert number(optimizer.learning_rate) < 0.05
    optimizer.learning_rate = 0.03
    for _ in range(2):
        fit(model, 1)
        assert number(optimizer.learning_rate) == pytest.approx(0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_a_learning_rate_scheduler(kind):
    seen = []

    def scheduled(epoch, rate):
        seen.append(rate)
        return 0.05 * 0.5**epoch

    callback = keras.callbacks.LearningRateScheduler(scheduled)
    model = trained(descent(0.2, decay="fit"), kind, 2, epochs=3, callbacks=[callback])
    rates = model.history.history["learning_rate"]
    np.testing.assert_allclose(rates, [0.05, 0.025, 0.0125], rtol=1e-5)
    np.testing.assert_allclose(seen, [0.2, 0.05, 0.025], rtol=1e-5)


def test_fit_decay():
    decay = kl.optimizers.FitDecay(0.5, steps=4)
    for step, left in enumerate([*LEFT, 0.0, 0.0]):
        assert number(decay(step)) == pytest.approx(0.5 * left, abs=1e-6)
    constant = kl.optimizers.FitDecay(0.5)
    assert [number(constant(step)) for step in (0, 7)] == [0.5, 0.5]
    again = kl.optimizers.FitDecay.from_config(decay.get_config())
    assert again.get_config() == {"rate": 0.5, "steps": 4}


def test_fit_decay_in_another_optimizer():
    model = trained(keras.optimizers.SGD(kl.optimizers.FitDecay(0.5, steps=2)), steps=2)
    before = model.get_weights()
    fit(model, 2)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_fit_decay_as_learning_rate():
    def run(rate, decay):
        adam = keras.optimizers.Adam()  # its rate does not decay along
        return trained(descent(rate, decay=decay, fallback=adam), steps=4)

    given = run(kl.optimizers.FitDecay(0.05, 4), None)
    assert_same(given, run(0.05, 4))
    assert number(given.optimizer.learning_rate) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_planned_fit_decays_over_its_steps(kind):
    plan = [kl.callbacks.PlanFit()] if kind is keras.Model else []
    planned = trained(descent(decay="fit"), kind, 2, epochs=2, callbacks=plan)
    counted = trained(descent(decay=4), kind, 2, epochs=2)
    constant = trained(descent(decay=None), kind, 2, epochs=2, callbacks=plan)
    assert_same(planned, counted)
    with pytest.raises(AssertionError):
        assert_same(planned, constant, atol=1e-4)
    # The next fit begins at the whole rate, as does what follows no plan.
    assert number(_part(planned).learning_rate) == pytest.approx(0.05)
    assert number(_part(counted).learning_rate) == pytest.approx(0.0, abs=1e-8)


def _part(model):
    return getattr(model.optimizer, "weight_optimizer", model.optimizer)


def test_without_a_plan_the_rate_is_constant():
    assert_same(
        trained(descent(decay="fit"), steps=4), trained(descent(decay=None), steps=4)
    )


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.skipif(JAX, reason="a dataset of tf.data")
def test_a_plan_of_what_tells_no_length():
    """After the first epoch, over all that is left."""

    def batches():
        for i in range(2):
            part = slice(8 * i, 8 * i + 8)
            yield X[part], Y[part]

    class Rates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(number(self.model.optimizer.learning_rate))

    rates = []
    model = network()
    model.compile(descent(decay="fit"), "mse", **QUICK)
    import tensorflow as tf

    kinds = tuple(tf.TensorSpec((8, n), tf.float32) for n in (6, 3))
    data = tf.data.Dataset.from_generator(batches, output_signature=kinds)
    callbacks = [kl.callbacks.PlanFit(), Rates()]
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    np.testing.assert_allclose(rates, [0.05 * LEFT[2], 0.05], rtol=1e-5)


def test_when_roots_are_computed_anew():
    due = [step for step in range(70) if bool(ops.convert_to_numpy(is_due(step, 20)))]
    assert due == [0, 1, 2, 4, 8, 16, 20, 40, 60]
    every = [step for step in range(9) if bool(ops.convert_to_numpy(is_due(step, 1)))]
    assert every == list(range(9))
