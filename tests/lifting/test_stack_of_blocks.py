"""Blocks of any kind are lifted one after the other, or all at once."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl
from tests.layers.blocks import CASES, PARAMETERS, convolution, dense
from tests.layers.compiled import array

DEPTH = 4


def network(block, shape, residual=False, seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(shape)
    h = kl.layers.Stack(block, DEPTH, residual, name="stack")(inputs)
    outputs = layers.Dense(2, name="out")(layers.Flatten()(h))
    rng = np.random.default_rng(7)
    x = rng.normal(size=(6, *shape)).astype("float32")
    y = rng.normal(size=(6, 2)).astype("float32")
    return inputs, outputs, x, y


def step(model, x, y, lifted=None, penalty=None):
    """The loss, and all weights after a step of SGD; the model is left as it was."""
    optimizer = keras.optimizers.SGD(0.1)
    if lifted is not None:
        optimizer = kl.optimizers.BlockCoordinateDescent(optimizer, penalty, lifted)
    before = model.get_weights()
    model.compile(optimizer, "mse", jit_compile=True)
    loss = model.train_on_batch(x, y)
    after = model.get_weights()
    model.set_weights(before)
    return loss, after


def close(got, wanted, tolerance=2e-5):
    np.testing.assert_allclose(got[0], wanted[0], rtol=1e-5)
    for a, b in zip(got[1], wanted[1], strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


@pytest.mark.parametrize("case", PARAMETERS)
def test_the_sweep_and_as_many_rounds_as_blocks_are_backprop(case):
    make, shape = case
    residual = make is not CASES["transformer"][0]  # which has skips of its own
    inputs, outputs, x, y = network(make(), shape, residual)
    expected = step(keras.Model(inputs, outputs), x, y)
    model = kl.LiftedModel(inputs, outputs)
    close(step(model, x, y, "sweep"), expected)
    rounds = kl.updates.AllAtOnce(DEPTH, DEPTH, tolerance=None)
    close(step(model, x, y, rounds), expected)


@pytest.mark.slow
def test_gradients_of_rounds_tend_to_those_of_backprop():
    inputs, outputs, x, y = network(convolution(), (5, 5, 4), residual=True)
    plain, model = keras.Model(inputs, outputs), kl.LiftedModel(inputs, outputs)
    start, exact = plain.get_weights()[0], step(plain, x, y)[1][0]

    def error(rounds):
        update = kl.updates.AllAtOnce(rounds, rounds, tolerance=None)
        got = step(model, x, y, update)[1][0]
        return np.linalg.norm(got - exact) / np.linalg.norm(start - exact)

    errors = [error(rounds) for rounds in range(1, DEPTH + 1)]
    assert all(a > 1.5 * b for a, b in zip(errors, errors[1:]))
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("rounds", [None, DEPTH], ids=["sweep", "all at once"])
def test_a_proximal_ending_is_lifted_like_single_layers(rounds):
    """A finite weight of Bregman, at which the step is not that of backprop."""
    inputs, outputs, x, y = network(dense(), (6,))
    model = kl.LiftedModel(inputs, outputs)
    stack, out = model.get_layer("stack"), model.get_layer("out")
    h = inputs
    blocks = stack.get_blocks()
    for block in blocks:
        h = block(h)
    single = kl.LiftedModel(inputs, out(layers.Flatten()(h)))
    penalty = kl.penalties.Bregman(0.3)
    update = "sweep"
    if rounds:
        update = kl.updates.AllAtOnce(rounds, rounds, tolerance=None)
    wanted = step(single, x, y, "sweep", penalty)
    got = step(model, x, y, update, penalty)
    every = [np.stack(each) for each in (wanted[1][:-2:2], wanted[1][1:-2:2])]
    close(got, (wanted[0], [*every, *wanted[1][-2:]]))
    backprop = step(keras.Model(inputs, outputs), x, y)
    assert np.abs(backprop[1][0] - got[1][0]).max() > 1e-4


def test_state_is_updated_once_for_each_batch():
    inputs, outputs, x, y = network(convolution(), (5, 5, 4), residual=True)
    plain = keras.Model(inputs, outputs)
    wanted = step(plain, x, y)[1]
    model = kl.LiftedModel(inputs, outputs)
    got = step(model, x, y, kl.updates.AllAtOnce(9, 1, tolerance=None))[1]
    moving = [i for i, w in enumerate(model.weights) if "moving" in w.name]
    assert len(moving) == 2
    for i in moving:
        np.testing.assert_allclose(got[i], wanted[i], atol=1e-6)


def test_dropout_repeats_its_masks_in_every_round():
    block = keras.Sequential([layers.Dense(6, "tanh"), layers.Dropout(0.5)])
    inputs, outputs, x, y = network(block, (6,), residual=True)
    wanted = step(keras.Model(inputs, outputs), x, y)
    model = kl.LiftedModel(inputs, outputs)
    rounds = kl.updates.AllAtOnce(DEPTH, DEPTH, tolerance=None)
    close(step(model, x, y, rounds), wanted)


def test_lifted_variables_and_gaps():
    inputs, outputs, x, y = network(convolution(), (5, 5, 4), residual=True)
    model = kl.LiftedModel(inputs, outputs)
    model.compile("sgd", "mse")
    assert model.lifted_variables(x, y)["stack"].shape == (6, DEPTH, 5, 5, 4)


def test_steepest_descent_moves_the_kernels_of_all_blocks():
    """As it moves those of single blocks."""
    inputs, outputs, x, y = network(dense(), (6,))
    stack = keras.Model(inputs, outputs).get_layer("stack")
    blocks, h = stack.get_blocks(), inputs
    for block in blocks:
        h = block(h)
    out = keras.Model(inputs, outputs).get_layer("out")
    weights = out.get_weights()
    for model in (
        kl.LiftedModel(inputs, outputs),
        kl.LiftedModel(inputs, out(layers.Flatten()(h))),
    ):
        out.set_weights(weights)
        model.compile(kl.optimizers.SteepestDescent(0.1), "mse")
        model.train_on_batch(x, y)
    kernels = np.stack([array(block.kernel.value) for block in blocks])
    np.testing.assert_allclose(array(stack.weights[0].value), kernels, atol=1e-5)


def test_added_losses_are_not_lifted():
    block = layers.Dense(6, activity_regularizer="l2")
    inputs, outputs, x, y = network(block, (6,))
    model = kl.LiftedModel(inputs, outputs)
    with pytest.raises(NotImplementedError, match="adds losses"):
        step(model, x, y, "sweep")
    backprop = kl.penalties.Bregman({"stack": float("inf"), "default": 1e6})
    wanted = step(keras.Model(inputs, outputs), x, y)
    close(step(model, x, y, "sweep", backprop), wanted)


UPDATES = {
    "in turn": kl.updates.ProximalGradient(3),
    "jacobi": kl.updates.Mirror(3, order="jacobi"),
    "nesterov": kl.updates.ProximalGradient(3, "nesterov"),
}


@pytest.mark.slow
@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_repeated_updates_lower_the_energy(update):
    inputs, outputs, x, y = network(convolution(), (5, 5, 4), residual=True)
    model = kl.LiftedModel(inputs, outputs)
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.SGD(0.01), kl.penalties.Bregman(1.0), update
    )
    metrics = [kl.metrics.LiftedEnergy()]
    model.compile(optimizer, "mse", metrics=metrics, jit_compile=True)
    history = model.fit(x, y, batch_size=6, epochs=5, verbose=0).history
    assert np.all(np.diff(history["lifted_energy"]) < 0)
