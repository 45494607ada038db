"""One block is a convex problem: other solvers find the same minimum."""

import keras
import numpy as np
import pytest
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
from keras_lifted.inversion.network import Sourced
from keras_lifted.inversion.problem import InverseProblem

R = kl.regularizers
# Relative to the objective; float32 rounds each of its terms.
CLOSE = 1e-6 if HAS_DOUBLE else 1e-5


@pytest.fixture(autouse=True)
def _precision():
    """float64 where Keras offers it."""
    with double():
        yield


PROBLEMS = {
    "l1": (R.L1(0.05), lambda *a: best_l1(*a, 0.05)),
    "tv": (R.TotalVariation(0.05), lambda *a: best_variation(*a, 0.05)),
    "tv_anisotropic": (
        R.TotalVariation(0.05, isotropic=False),
        lambda *a: best_variation(*a, 0.05),
    ),
    "tikhonov_box": (
        R.Tikhonov(0.05) + R.Box(0.0, 0.4),
        lambda *a: best_smooth(*a, 0.05, (0.0, 0.4)),
    ),
    "tikhonov_positive": (
        R.Tikhonov(0.05) + R.NonNegative(),
        lambda *a: best_smooth(*a, 0.05, (0.0, None)),
    ),
}


def data(name, kernel, bias, noise=0.02):
    """Noisy outputs of a signal of three steps, in the range of the activation."""
    rng = np.random.default_rng(1)
    signal = np.repeat([0.2, 1.0, -0.5, 0.3], len(kernel) // 4)
    z = signal @ kernel + bias + noise * rng.normal(size=len(bias))
    x = {
        "relu": np.maximum(z, 0),
        "linear": z,
        "tanh": np.tanh(z),
        "soft_threshold": np.sign(z) * np.maximum(np.abs(z) - 0.1, 0),
    }[name]
    return x.astype(keras.config.floatx())


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("relu", "tv"),
        ("relu", "tikhonov_box"),
        ("tanh", "tv"),
        ("soft_threshold", "l1"),
        ("linear", "tv"),
    ],
)
def test_objective_is_that_of_scipy(name, key):
    check(name, key, "nesterov")


@pytest.mark.parametrize("key", ["tv_anisotropic", "tikhonov_positive"])
def test_plain_steps_find_it_too(key):
    check("relu", key, None, 10_000)


def check(name, key, acceleration, steps=4000):
    regularizer, solve = PROBLEMS[key]
    model, kernel, bias = perceptron(24, 16, activation_of(name))
    y = data(name, kernel, bias)
    expected, u = solve(name, kernel, bias, y.astype("float64"))
    result = kl.invert(
        model,
        y[None],
        regularizer,
        max_steps=steps,
        acceleration=acceleration,
        tolerance=1e-7 if HAS_DOUBLE else 1e-6,
        check_every=500,
        verbose=False,
    )
    objective = result.objective[0]
    assert objective == pytest.approx(expected, rel=CLOSE)
    assert objective >= expected * (1 - CLOSE)
    if key.startswith("tikhonov"):  # strictly convex
        np.testing.assert_allclose(result.x[0], u, atol=1e-3)


@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
def test_images_against_cvxpy(isotropic):
    cp = pytest.importorskip("cvxpy")
    side, alpha = 6, 0.03
    model, kernel, bias = perceptron(side**2, 20, "relu", shape=(side, side, 1))
    image = np.zeros((side, side))
    image[1:4, 2:5] = 1.0
    y = np.maximum(image.ravel() @ kernel + bias, 0).astype(keras.config.floatx())
    result = kl.invert(
        model,
        y[None],
        R.TotalVariation(alpha, isotropic) + R.NonNegative(),
        max_steps=4000,
        tolerance=0,
        check_every=500,
        verbose=False,
    )
    u = cp.Variable((side, side), nonneg=True)
    z = kernel.T @ cp.vec(u, order="C") + bias
    fidelity = 0.5 * cp.sum_squares(cp.pos(z)) - y @ z + 0.5 * float(y @ y)
    down, right = u[1:] - u[:-1], u[:, 1:] - u[:, :-1]
    if isotropic:
        variation = sum(
            cp.norm(
                cp.hstack(
                    ([u[i + 1, j] - u[i, j]] if i + 1 < side else [])
                    + ([u[i, j + 1] - u[i, j]] if j + 1 < side else [])
                )
            )
            for i in range(side)
            for j in range(side)
            if i + 1 < side or j + 1 < side
        )
    else:
        variation = cp.sum(cp.abs(down)) + cp.sum(cp.abs(right))
    problem = cp.Problem(cp.Minimize(fidelity + alpha * variation))
    problem.solve(solver="CLARABEL")
    assert result.objective[0] == pytest.approx(problem.value, rel=CLOSE)


def test_one_minimiser_from_random_starts():
    model, kernel, bias = perceptron(24, 16, "relu")
    y = np.repeat(data("relu", kernel, bias)[None], 5, axis=0)
    start = 10 * np.random.default_rng(2).normal(size=(5, 24))
    result = kl.invert(
        model,
        y,
        R.TotalVariation(0.05) + R.Tikhonov(0.01),
        max_steps=4000,
        initial=start,
        tolerance=1e-7 if HAS_DOUBLE else 1e-5,
        check_every=500,
        verbose=False,
    )
    assert np.ptp(result.x, axis=0).max() < (1e-5 if HAS_DOUBLE else 1e-3)
    assert np.ptp(result.objective) <= CLOSE * result.objective[0]


def test_the_lipschitz_constant_is_an_upper_bound():
    for seed in range(3):
        model, kernel, _ = perceptron(40, 30, "relu", seed)
        u = keras.ops.zeros((1, 40))
        inner = Sourced(model, None)
        problem = InverseProblem(inner, u, kl.penalties.Bregman(1.0), None)
        bound = float(problem.lipschitz(u)[0])
        exact = np.linalg.norm(kernel, 2) ** 2
        assert exact <= bound <= 1.25 * exact
