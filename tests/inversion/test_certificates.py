"""Certificates of drawn problems: above the true gap in all, close to it in most."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_block import (
    HAS_DOUBLE,
    activation_of,
    best_l1,
    best_smooth,
    best_variation,
    double,
    perceptron,
)

import keras_lifted as kl

R = kl.regularizers
SOLVERS = {
    "tikhonov": (R.Tikhonov(), best_smooth),
    "box": (R.Tikhonov() + R.Box(0.0, 0.4), lambda *a: best_smooth(*a, (0.0, 0.4))),
    "l1": (R.L1(), best_l1),
    "tv": (R.TotalVariation(), best_variation),
}
BLOCKS = ["relu", "linear", "tanh", "soft_threshold"]
SHAPES = [(12, 9), (8, 14)]
ALL = [(key, name, shape) for key in SOLVERS for name in BLOCKS for shape in SHAPES]
FEW = [
    ("l1", "relu", (12, 9)),
    ("tv", "linear", (8, 14)),
    ("tikhonov", "tanh", (12, 9)),
    ("box", "soft_threshold", (8, 14)),
]
ROUNDING = 1e-8 if HAS_DOUBLE else 3e-6
SEEDS, STEPS = st.integers(0, 10**6), st.sampled_from([5, 20, 60, 300])


@functools.cache
def block(key, name, shape):
    """A block whose weights the problems change, and what inverts it."""
    model, _, _ = perceptron(*shape, activation_of(name))
    return model, kl.inversion.Inverter(model, SOLVERS[key][0])


def ratios(key, name, shape, seed, steps, samples):
    """Certificate / true gap of random problems with alpha from 0.01 to 2."""
    with double():
        model, inverter = block(key, name, shape)
        rng = np.random.default_rng(seed)
        kernel = rng.normal(size=shape) / shape[0] ** 0.5
        model.layers[-1].set_weights([kernel, 0.1 * rng.normal(size=shape[1])])
        kernel, bias = (w.astype("float64") for w in model.layers[-1].get_weights())
        u = np.repeat(rng.normal(size=(samples, shape[0] // 4)), 4, axis=1)
        z = u @ kernel + bias + 0.05 * rng.normal(size=(samples, shape[1]))
        y = keras.ops.convert_to_numpy(kl.layers.get(activation_of(name)).sigma(z))
        y = np.asarray(y, keras.config.floatx())
        alpha = 10.0 ** rng.uniform(-2, 0.3, size=samples)
        result = inverter(y, steps, alpha, tolerance=0, verbose=0)
        solve = SOLVERS[key][1]
        rows = zip(y.astype("float64"), alpha)
        least = [solve(name, kernel, bias, row, a)[0] for row, a in rows]
    gap, bound = result.objective - least, result.certificate
    slack = ROUNDING * (1 + np.abs(result.objective))
    assert (gap <= bound + slack).all(), (gap, bound)
    assert (bound >= 0).all() and (bound <= result.objective * 1.00001).all()
    return bound / np.maximum(gap, slack)


@settings(max_examples=8)
@given(st.sampled_from(FEW), SEEDS, STEPS)
def test_they_bound_the_gap(problem, seed, steps):
    ratios(*problem, seed, steps, samples=2)


@pytest.mark.slow
@settings(max_examples=200)
@given(st.sampled_from(ALL), SEEDS, STEPS)
def test_they_bound_the_gap_of_200_problems(problem, seed, steps):
    ratios(*problem, seed, steps, samples=1)


@pytest.mark.skipif(not HAS_DOUBLE, reason="float64 needs JAX_ENABLE_X64")
@pytest.mark.parametrize("problem", FEW)
def test_most_are_within_10_times_the_gap(problem):
    found = [ratios(*problem, seed, steps, 8) for seed, steps in ((0, 20), (1, 60))]
    assert np.mean(np.concatenate(found) <= 10) > 0.5, found
