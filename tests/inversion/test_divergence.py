"""Distances of outputs from data: without cancellation, never below zero."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

import keras_lifted as kl
from keras_lifted.inversion.divergence import bregman, relative_entropy
from keras_lifted.layers.map import ProximalMap

SMOOTH = ["sigmoid", "tanh", "softplus", "elu", "softsign", "arctan", "isru"]


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


@pytest.mark.parametrize("name", [*SMOOTH, "relu", "soft_threshold", "leaky_relu"])
def test_a_small_distance_is_the_integral_of_the_difference(name):
    """`D(y, z) = ∫ (σ(z + t) − y)`, from where σ is y: never below zero in float32."""
    activation = kl.layers.get(name)
    sigma = ProximalMap.of(activation)
    z = np.linspace(-3, 3, 41)
    for size in (0.0, 1e-4, 1e-2, 0.08, 0.2, 1.0):
        s = z + size
        y = number(activation.sigma(ops.convert_to_tensor(s.astype("float32"))))
        t = np.linspace(0, 1, 4001)[:, None]
        between = s + t * (z - s)
        values = number(sigma(ops.convert_to_tensor(between.astype("float32"))))
        expected = np.trapezoid((values - y) * (z - s), t[:, 0], axis=0)
        found = number(
            bregman(
                sigma,
                ops.convert_to_tensor(y.astype("float32")[:, None]),
                ops.convert_to_tensor(z.astype("float32")[:, None]),
            )
        )
        assert (found >= 0).all()
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=3e-7 * (1 + size))


@settings(max_examples=50)
@given(st.floats(1e-3, 100), st.floats(-0.5, 0.5))
def test_relative_entropy(y, change):
    y = np.float32(y)
    x = np.float32(y * (1 + change))
    r = (float(x) - float(y)) / float(y)
    expected = float(y) * (r - np.log1p(r)) if abs(r) > 1e-4 else 0.5 * y * r**2
    found = float(relative_entropy(ops.array([y]), ops.array([x]))[0])
    assert found >= 0
    assert found == pytest.approx(expected, rel=3e-3, abs=1e-12)


def test_distances_of_coupled_outputs():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4, 5)).astype("float32")
    softmax = ProximalMap.of(kl.layers.Softmax())
    y = number(softmax(ops.convert_to_tensor(rng.normal(size=(4, 5)))))
    x = number(softmax(ops.convert_to_tensor(z)))
    found = number(bregman(softmax, ops.convert_to_tensor(y.astype("float32")), z))
    np.testing.assert_allclose(found, (y * np.log(y / x)).sum(1), rtol=1e-4)
    ball = ProximalMap.of(kl.layers.L2BallProjection())
    y = number(ball(ops.convert_to_tensor(rng.normal(size=(4, 5)).astype("float32"))))
    found = number(bregman(ball, ops.convert_to_tensor(y.astype("float32")), z))
    x = number(ball(ops.convert_to_tensor(z)))
    direct = 0.5 * (y**2).sum(1) + (x * z - 0.5 * x**2).sum(1) - (y * z).sum(1)
    np.testing.assert_allclose(found, direct, atol=1e-5)
