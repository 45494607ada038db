"""Multipliers of the Fenchel penalty: dual ascent by hand, in training, on disk."""

import keras
import numpy as np
import pytest
from two_blocks import X, Y, assert_close, compiled, gradients, network

import keras_lifted as kl
from keras_lifted.optimizers.state import FLOOR

Fenchel = kl.penalties.Fenchel
UPDATES = {
    "sweep": kl.updates.Sweep(),
    "proximal_gradient": kl.updates.ProximalGradient(3),
}


def multipliers(model):
    return keras.ops.convert_to_numpy(model.optimizer.lifted.weight)


def violations(model, tolerance):
    """`g / t` of each block: above 1 where the constraint is violated."""
    gaps, lifted = model.lifted_gaps(X, Y), model.lifted_variables(X, Y)
    sizes = [np.mean(0.5 * np.sum(lifted[key] ** 2, -1)) for key in gaps]
    return np.array([gaps[key] / (tolerance * s) for key, s in zip(gaps, sizes)])


@pytest.mark.parametrize("update", UPDATES)
def test_one_ascent(update):
    """w ← w exp(ρ (g − t)/(g + t)), t = ε mean_i ½‖x_i‖²."""
    rho, tolerance = 0.3, 0.01
    model = compiled(network(), Fenchel(2.0, rho, tolerance), UPDATES[update])
    ratio = violations(model, tolerance)
    model.train_on_batch(X, Y)
    expected = 2.0 * np.exp(rho * (ratio - 1) / (ratio + 1))
    np.testing.assert_allclose(multipliers(model), expected, rtol=1e-3)
    assert expected.min() < 2.0 < expected.max() or np.ptp(expected) > 0.01


def test_weights_move_as_with_bregman():
    got = gradients(compiled(network(), Fenchel(2.0)))
    assert_close(got, gradients(compiled(network(), kl.penalties.Bregman(2.0))))


def train(model, batches):
    """The same batch again and again."""
    model.fit(
        np.tile(X, (batches, 1)),
        np.tile(Y, (batches, 1)),
        batch_size=len(X),
        shuffle=False,
        verbose=0,
    )


@pytest.mark.parametrize("start", [0.5, 1000.0])
def test_multipliers_meet_the_tolerance(start):
    """At fixed weights they rise where the gap is too large, fall where too small."""
    tolerance = 1e-4
    penalty = Fenchel(start, dual_step=0.3, tolerance=tolerance)
    model = compiled(network(), penalty, rate=0.0)
    before = violations(model, tolerance)
    assert (before > 2).all() if start < 1 else (before < 0.5).all()
    train(model, 60)
    after = violations(model, tolerance)
    np.testing.assert_allclose(after, 1.0, atol=0.05)
    moved = multipliers(model)
    assert (moved > start).all() if start < 1 else (moved < start).all()


def test_bounds():
    """Between a tenth of the first and what the update resolves, where lifted."""
    update = kl.updates.ProximalGradient(1)
    steep = Fenchel({"one": 90.0, "two": float("inf")}, 1.0, 1e-12)
    model = compiled(network(), steep, update, rate=0.0)
    train(model, 3)
    np.testing.assert_allclose(multipliers(model), [100.0, 3e38])
    model = compiled(network(), Fenchel(2.0, 1.0, 1e6), update, rate=0.0)
    train(model, 3)
    np.testing.assert_allclose(multipliers(model), 2.0 * FLOOR)


def test_no_ascent_without_a_step():
    model = compiled(network(), Fenchel(2.0, dual_step=0.0))
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(multipliers(model), [2.0, 2.0])


def test_other_penalties_keep_their_weights():
    model = compiled(network(), kl.penalties.Bregman(2.0))
    model.train_on_batch(X, Y)
    model.optimizer.lifted.weight.assign([3.0, 4.0])
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(multipliers(model), [3.0, 4.0])


def test_saved_with_the_model(tmp_path):
    model = compiled(network(), Fenchel(2.0, 0.3, 0.01))
    for _ in range(3):
        model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    penalty = loaded.optimizer.penalty
    assert (penalty.weight, penalty.dual_step, penalty.tolerance) == (2.0, 0.3, 0.01)
    np.testing.assert_array_equal(multipliers(loaded), multipliers(model))
    assert multipliers(model).max() != 2.0
    for each in (model, loaded):
        each.train_on_batch(X, Y)
    np.testing.assert_allclose(multipliers(loaded), multipliers(model), rtol=1e-5)
