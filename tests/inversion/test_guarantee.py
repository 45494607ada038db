"""The error bound of one-block inversion, along noise that falls to zero.

Source: Wang & Benning, Front. Appl. Math. Stat. 9, 2023. With `Wᵀv ∈ ∂R(u)` at the
true input, `P(y, Wu + b) ≤ δ²` and `alpha = √2 δ/‖v‖`,

    D_R(u, u_alpha) ≤ 2δ²/alpha + alpha ‖v‖² = 2√2 ‖v‖ δ    while |alpha v| ≤ y.
"""

import keras
import numpy as np
import pytest
from one_block import HAS_DOUBLE, double, perceptron

import keras_lifted as kl

R = kl.regularizers
LEVELS = [1.0, 0.3, 0.1, 0.03, 0.01] + ([0.003, 0.001] if HAS_DOUBLE else [])
INPUTS, ACTIVE, SILENT = 16, 30, 10


@pytest.fixture(autouse=True)
def _precision():
    """float64 where Keras offers it."""
    with double():
        yield


def variation(u):
    jumps = np.diff(u)
    return np.abs(jumps).sum()


def signs(u):
    """A subgradient of the 1-norm, close to an end where u is 0."""
    return np.where(u == 0, 0.95, np.sign(u))


def variation_slope(u):
    """A subgradient of the variation: `∇ᵀ p` with `p` one of the 1-norm at `∇u`."""
    p = signs(np.diff(u))
    return np.concatenate([[0.0], p]) - np.concatenate([p, [0.0]])


CASES = {
    "tikhonov": (R.Tikhonov(), lambda u: 0.5 * u @ u, lambda u: u),
    "l1": (R.L1(), lambda u: np.abs(u).sum(), signs),
    "tv": (R.TotalVariation(), variation, variation_slope),
}


@pytest.mark.parametrize("key", CASES)
def test_bregman_distance_falls_like_the_noise(key):
    regularizer, value, slope = CASES[key]
    rng = np.random.default_rng(0)
    u = np.repeat([0.0, 1.0, -0.5, 0.25], INPUTS // 4)
    model, kernel, bias = perceptron(INPUTS, ACTIVE + SILENT, "relu")
    # 30 active units explain the source condition; 10 are silent, where v must be 0.
    bias = np.where(np.arange(ACTIVE + SILENT) < ACTIVE, 6.0, -6.0)
    model.layers[-1].set_weights([kernel, bias])
    v = np.zeros(ACTIVE + SILENT)
    v[:ACTIVE] = np.linalg.pinv(kernel[:, :ACTIVE]) @ slope(u)
    z = u @ kernel + bias
    np.testing.assert_allclose(kernel @ v, slope(u), atol=1e-6)
    assert (z[:ACTIVE] > 0.5).all() and (z[ACTIVE:] < -0.5).all()
    clean = np.maximum(z, 0)
    direction = np.zeros_like(clean)
    direction[:ACTIVE] = rng.normal(size=ACTIVE)
    direction /= np.linalg.norm(direction)
    delta = np.array(LEVELS)
    y = clean + np.sqrt(2) * delta[:, None] * direction
    y = y.astype(keras.config.floatx())
    noise = delta * np.sqrt(2 / len(clean))
    source = np.linalg.norm(v)
    result = kl.invert(
        model,
        y,
        regularizer,
        noise_std=noise,
        source=source,
        max_steps=6000,
        check_every=1000,
        tolerance=1e-7 if HAS_DOUBLE else 1e-4,
        verbose=False,
    )
    alpha = np.sqrt(2) * delta / source
    np.testing.assert_allclose(result.alpha, alpha, rtol=1e-6)
    distances = []
    for i, x in enumerate(result.x.astype("float64")):
        assert (np.abs(alpha[i] * v) <= y[i] + 1e-12).all()
        z_found = x @ kernel + bias
        subgradient = kernel @ (y[i] - np.maximum(z_found, 0)) / alpha[i]
        distance = value(u) - value(x) - subgradient @ (u - x)
        assert distance <= 2 * np.sqrt(2) * source * delta[i]
        distances.append(distance)
    # Where R is polyhedral the distance is exactly 0 once the jumps are the true ones.
    rounding = 1e-6 if HAS_DOUBLE else 1e-4
    assert distances[0] > (1e-3 if key != "tv" else -rounding)
    if key != "tv":
        overall = max(distances[-1], 1e-9) / distances[0]
        assert np.log(overall) / np.log(delta[-1] / delta[0]) >= 0.95
    else:
        assert max(distances) < 1e-3
