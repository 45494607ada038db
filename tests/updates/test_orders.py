"""Orders of the blocks: every one lowers the energy to the same minimum."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_lifted as kl
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import find_blocks
from keras_lifted.lifting.curvature import curvature
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.swept import Stored
from keras_lifted.updates.order import ORDERS, groups, shortening

JAX = keras.backend.backend() == "jax"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5)).astype("float32")
Y = RNG.normal(size=(8, 2)).astype("float32")


def chain():
    inputs = x = keras.Input((5,))
    for i, activation in enumerate(("tanh", "relu", "softplus")):
        x = layers.Dense(6, activation, name=f"block{i}")(x)
    return kl.LiftedModel(inputs, layers.Dense(2)(x))


def skip():
    """Blocks 0 and 2 are of one colour and neighbours; the output reads both."""
    inputs = keras.Input((5,))
    a = layers.Dense(6, "relu", name="block0")(inputs)
    b = layers.Dense(6, "tanh", name="block1")(a)
    c = layers.Dense(6, "relu", name="block2")(layers.Concatenate()([a, b]))
    return kl.LiftedModel(inputs, layers.Dense(2)(layers.Concatenate()([a, c])))


def solve(model, function):
    """`function(problem, curvature bounds)`, compiled."""
    blocks, penalty = find_blocks(model), kl.penalties.Bregman(1.0)
    model.compile("sgd", "mse")

    def run(x, y):
        weights = ops.ones((len(blocks),))
        with keras.StatelessScope():
            problem = LiftedProblem(model, blocks, Batch(x, y, None), penalty, weights)
            return function(problem, curvature(problem))

    x, y = ops.convert_to_tensor(X), ops.convert_to_tensor(Y)
    if JAX:
        import jax

        run = jax.jit(run)
    else:
        import tensorflow as tf

        run = tf.function(run, autograph=False)
    return keras.tree.map_structure(ops.convert_to_numpy, run(x, y))


@pytest.mark.parametrize(
    "build, make",
    [(chain, kl.updates.Mirror), (skip, kl.updates.ProximalGradient)],
)
def test_every_order_lowers_the_energy_to_the_same_minimum(build, make):
    model = build()
    rng = np.random.default_rng(1)  # curvatures of 1 to 5
    model.set_weights([0.35 * rng.normal(size=w.shape) for w in model.get_weights()])
    counts = (1, 100)

    def function(problem, bounds):
        results = {}
        unseen = problem.forward().coordinates, ops.zeros((8,), "bool")
        problem.stored = Stored(*unseen)  # so that energies are exact
        for order in ORDERS:
            solutions = [make(n, order=order).solve(problem, bounds) for n in counts]
            energies = [
                solutions[0].start,
                *(each.energy(problem) for each in solutions),
            ]
            results[order] = ops.stack(energies), solutions[-1].last.coordinates
        return results

    results = solve(model, function)
    lowest, expected = results["output_to_input"]
    for order, (energies, points) in results.items():
        # A rise would be undone, to the energy of the start.
        for before, after in itertools.pairwise(energies):
            assert after < before, (order, energies)
        np.testing.assert_allclose(energies[-1], lowest[-1], rtol=1e-4)
        for key, point in points.items():
            np.testing.assert_allclose(point, expected[key], atol=0.02, err_msg=order)


def test_a_round_all_at_once_by_hand():
    """Every block moves by the gradient at the old point."""
    model = chain()

    def function(problem, bounds):
        forward = problem.forward()
        s = {k: z + 0.3 for k, z in forward.coordinates.items()}
        problem.stored = Stored(s, ops.ones((8,), "bool"))
        solution = kl.updates.Mirror(1, order="jacobi").solve(problem, bounds)
        return s, solution.last.coordinates, bounds

    s, moved, bounds = solve(model, function)
    weights = [layer.get_weights() for layer in model.layers[1:]]
    (_, _), (w1, b1), (w2, b2), (w3, b3) = weights
    z0 = X @ weights[0][0] + weights[0][1]
    x = [
        np.tanh(s["block0"]),
        np.maximum(s["block1"], 0),
        np.log1p(np.exp(s["block2"])),
    ]
    z1, z2 = x[0] @ w1 + b1, x[1] @ w2 + b2
    q0 = (np.maximum(z1, 0) - x[1]) @ w1.T
    q1 = (np.log1p(np.exp(z2)) - x[2]) @ w2.T
    q2 = (x[2] @ w3 + b3 - Y) @ w3.T  # the mean of squares over two outputs
    for i, (z, q) in enumerate(((z0, q0), (z1, q1), (z2, q2))):
        old = s[f"block{i}"]
        expected = old + (z - q - old) / (1 + bounds[i])
        np.testing.assert_allclose(moved[f"block{i}"], expected, atol=1e-4)


def test_colours_and_step_lengths():
    seen = {}

    def function(problem, bounds):
        s = problem.structure
        seen["depth"], seen["groups"] = s.depth, groups("red_black", s)
        seen["m"] = [shortening(order, s) for order in ORDERS]
        return bounds

    solve(skip(), function)
    assert seen["depth"] == {"block0": 0, "block1": 1, "block2": 2}
    assert seen["groups"] == [{"block1"}, {"block0", "block2"}]
    assert seen["m"] == [1, 1, 2]
    solve(chain(), function)
    assert seen["m"] == [1, 1, 1]
