"""Samples count by their weights, and batches by their samples."""

import keras
import numpy as np
import pytest
from networks import COMPILED, QUICK, assert_same, data, target, values
from recipes import SGD, UPDATES, N, bcd, small, tensor

import keras_lifted as kl


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


@pytest.mark.parametrize(
    "update", ["sweep", pytest.param("proximal_gradient", marks=pytest.mark.slow)]
)
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


def test_partial_batches_weigh_by_their_samples():
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    model.compile(bcd(SGD(0.0)), "mse", jit_compile=COMPILED)
    x, y = data(4)[:N], target()[:N]
    history = model.fit(x, y, batch_size=8, verbose=0).history
    np.testing.assert_allclose(
        history["loss"], [model.evaluate(x, y, verbose=0)], rtol=1e-5
    )
