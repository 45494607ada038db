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
    model.train_on_batch(X, Y)
    problem, solution = solve_once(model, X, Y, None)
    names = [affine.name for affine in find_affine(model)]
    last = solution.last
    assert {names[int(i)] for i in problem.structure.plain} == {
        "inside",
        "outside",
        "biasless",
        "out",
    }
    paths = [v.path for v in problem.trainable]
    for index, displacement in last.displacements.items():
        kernel = find_affine(model)[int(index)].kernel
        wanted = ops.convert_to_numpy(last.gradients[paths.index(kernel.path)])
        rows = ops.convert_to_numpy(last.inputs[index])
        found = rows.T @ ops.convert_to_numpy(displacement)
        assert np.abs(wanted).max() > 1e-5
        assert np.allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def trained(**arguments):
    """A network after 24 steps, of which the first 20 compute all anew."""
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(1).normal(size=(64, 24)).astype("float32")
    inputs = keras.Input((24,))
    h = layers.Dense(24, activation="relu")(inputs)
    model = kl.LiftedModel(inputs, layers.Dense(24)(h))
    model.compile(
        kl.optimizers.ISGM(0.01, factor_refresh=1000, decay_steps=None, **arguments),
        "mse",
        jit_compile=True,
    )
    model.fit(x, x, batch_size=8, epochs=3, shuffle=False, verbose=0)
    followed = [
        bool(ops.convert_to_numpy(block.followed))
        for block in model.optimizer.weight_blocks
    ]
    assert len(set(followed)) == 1
    return np.concatenate([w.ravel() for w in model.get_weights()]), followed[0]


def test_steps_from_displacements_are_those_from_gradients():
    exact, is_followed = trained(clipnorm=1e9)
    assert not is_followed  # clipping needs the gradients
    followed, is_followed = trained()
    assert is_followed
    assert not np.array_equal(followed, exact)
    # Followed steps observe the covariance of the gradient less often.
    assert np.linalg.norm(followed - exact) < 0.05 * np.linalg.norm(exact)


@pytest.mark.slow
def test_where_covariances_do_not_matter_both_steps_are_equal():
    geometry = kl.geometries.Kronecker(damping=9e5)
    exact, is_followed = trained(clipnorm=1e9, geometry=geometry)
    assert not is_followed
    followed, is_followed = trained(geometry=geometry)
    assert is_followed
    assert np.allclose(followed, exact, atol=1e-4)
