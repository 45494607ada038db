"""Displacements: the kernel gradient of a plain layer is `aᵀ δ`."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_lifted as kl
from keras_lifted.lifting.affine import find_affine
from keras_lifted.models.step import solve_once

B = 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(B, 5)).astype("float32")
Y = RNG.normal(size=(B, 2)).astype("float32")


def network(update):
    x = keras.Input((5,))
    h = layers.Dense(7, activation="relu", name="inside")(x)
    h = kl.layers.SoftThreshold(0.1)(layers.Dense(7, name="outside")(h))
    shared = layers.Dense(7, name="shared")
    h = kl.layers.ReLU()(shared(kl.layers.ReLU()(shared(h))))
    h = layers.Dense(4, kernel_regularizer="l2", name="decayed")(h)
    h = layers.Flatten()(layers.Dense(3, name="sequence")(layers.Reshape((2, 2))(h)))
    h = layers.Dense(6, activation="tanh", use_bias=False, name="biasless")(h)
    model = kl.LiftedModel(x, layers.Dense(2, name="out")(h))
    optimizer = kl.optimizers.ISGM(lifted_update=update)
    model.compile(optimizer, "mse", jit_compile=False)
    return model


@pytest.mark.parametrize(
    "update",
    [None, pytest.param(kl.updates.ProximalGradient(2), marks=pytest.mark.slow)],
)
def test_inputs_times_displacements_are_the_gradient(update):
    keras.utils.set_random_seed(0)
    model = network(update)
    problem, solution = solve_once(model, X, Y, None)
    names = [affine.name for affine in find_affine(model)]
    last = solution.last
    assert {names[int(i)] for i in problem.structure.plain} == {
        "inside",
        "outside",
        "biasless",
        "out",
    }
    plain = kl.optimizers.BlockCoordinateDescent("sgd", lifted_update=update)
    plain.penalty = model.optimizer.penalty
    weights = model.get_weights()
    model.compile(plain, "mse", jit_compile=False)
    model.set_weights(weights)
    wanted = solve_once(model, X, Y, None)[1].last.gradients  # by autodiff alone
    for variable, one, other in zip(
        problem.trainable, last.gradients, wanted, strict=True
    ):
        one, other = ops.convert_to_numpy(one), ops.convert_to_numpy(other)
        assert np.abs(other).max() > 1e-6, variable.path
        assert np.allclose(one, other, atol=1e-5 * np.abs(other).max())
    for index, displacement in last.displacements.items():
        kernel = find_affine(model)[int(index)].kernel
        at = [v.path for v in problem.trainable].index(kernel.path)
        rows = ops.convert_to_numpy(last.inputs[index])
        found = rows.T @ ops.convert_to_numpy(displacement)
        size = np.abs(found).max()
        assert np.allclose(found, wanted[at], atol=1e-5 * size)


class Transposed(layers.Layer):
    """`x Wᵀ` with the kernel of another layer."""

    def __init__(self, dense, **kwargs):
        super().__init__(**kwargs)
        self.dense = dense

    def call(self, x):
        return ops.matmul(x, ops.transpose(self.dense.kernel))


def test_a_kernel_that_another_layer_reads_learns_from_both():
    inputs = keras.Input((5,))
    dense = layers.Dense(3, activation="relu", name="encoder")
    model = kl.LiftedModel(inputs, Transposed(dense)(dense(inputs)))
    model.compile(kl.optimizers.ISGM(), "mse", jit_compile=False)
    problem, solution = solve_once(model, X, X, None)
    rests = solution.last.rests
    assert list(rests) == ["0"]
    kernel, bias = rests["0"]
    assert np.abs(ops.convert_to_numpy(kernel)).max() > 1e-3
    assert bias is None or np.abs(ops.convert_to_numpy(bias)).max() == 0.0
    losses = model.fit(X, X, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]


def trained(bias=True, **arguments):
    """The weights of a network after 24 steps, and how many layers were followed."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(1).normal(size=(64, 24)).astype("float32")
    inputs = keras.Input((24,))
    h = layers.Dense(24, activation="relu", use_bias=bias)(inputs)
    model = kl.LiftedModel(inputs, layers.Dense(24, use_bias=bias)(h))
    model.compile(
        kl.optimizers.ISGM(0.01, factor_refresh=1000, decay_steps=None, **arguments),
        "mse",
        jit_compile=True,
    )
    model.fit(x, x, batch_size=8, epochs=3, shuffle=False, verbose=0)
    weights = np.concatenate([w.ravel() for w in model.get_weights()])
    states = [block.state["whitened"] for block in model.optimizer.weight_blocks]
    followed = [np.any(ops.convert_to_numpy(state)) for state in states]
    return weights, sum(followed)


def test_steps_from_displacements_are_those_from_gradients():
    exact, count = trained(clipnorm=1e9)
    assert count == 0  # clipping needs the gradients
    followed, count = trained()
    assert count == 2
    assert not np.array_equal(followed, exact)
    # The promise of the decrease comes from a sketch, and `D` from fewer steps.
    assert np.linalg.norm(followed - exact) < 0.05 * np.linalg.norm(exact)


@pytest.mark.slow
def test_where_covariances_do_not_matter_both_steps_are_equal():
    geometry = kl.geometries.Kronecker(damping=9e5)
    # Without a bias nothing is centred, by means that differ from batch to batch.
    free = {"geometry": geometry, "largest_decrease": 1e8, "bias": False}
    exact, count = trained(clipnorm=1e9, **free)
    assert count == 0
    followed, count = trained(**free)
    assert count == 2
    assert np.allclose(followed, exact, atol=1e-4)
