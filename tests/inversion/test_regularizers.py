"""Regularizers: values, proximal maps and operators, by brute force."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import optimize

import keras_lifted as kl

R = kl.regularizers


@keras.saving.register_keras_serializable(package="tests")
class Huber(R.Regularizer):
    """A user's own: quadratic up to `delta`, linear beyond."""

    def __init__(self, weight=1.0, delta=0.5):
        super().__init__(weight)
        self.delta = delta

    def value(self, v):
        size = ops.abs(v)
        large = self.delta * (size - 0.5 * self.delta)
        terms = ops.where(size <= self.delta, 0.5 * ops.square(v), large)
        return ops.sum(terms, axis=tuple(range(1, len(v.shape))))

    def prox(self, v, step):
        inner = v / (1.0 + step)
        outer = v - step * self.delta * ops.sign(v)
        return ops.where(ops.abs(inner) <= self.delta, inner, outer)


MADE = {
    "tv": R.TotalVariation(0.7),
    "tv_anisotropic": R.TotalVariation(0.7, isotropic=False),
    "tv_flat": R.TotalVariation(0.7, shape=(2, 3)),
    "tikhonov": R.Tikhonov(0.3),
    "l1": R.L1(0.3),
    "group": R.GroupSparsity(0.4),
    "non_negative": R.NonNegative(),
    "box": R.Box(-0.2, 0.6),
    "own": Huber(0.9, 0.3),
}
ROWS = st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6)


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


@pytest.mark.parametrize("key", MADE)
@settings(max_examples=25)
@given(row=ROWS, other=ROWS, step=st.floats(0.05, 4))
def test_prox_is_the_argmin(key, row, other, step):
    """Of a strongly convex function: no other point is lower, by half the square."""
    term = MADE[key]
    shape = tuple(term.operator(ops.zeros((1, 6))).shape)
    rng = np.random.default_rng(0)
    fill = rng.normal(size=shape).astype("float32").ravel()

    def point(values):
        return np.resize(np.concatenate([values, fill]), shape).astype("float32")

    v, rival = point(row), point(other)
    tensor_step = ops.full((1,) + (1,) * (len(shape) - 1), step, dtype="float32")
    x = number(term.prox(ops.convert_to_tensor(v), tensor_step))

    def energy(w):
        penalty = number(term.value(ops.convert_to_tensor(w.astype("float32"))))[0]
        return 0.5 * np.sum((w - v) ** 2) + step * penalty

    distance = 0.5 * np.sum((rival - x) ** 2)
    assert energy(rival) >= energy(x) + distance - 1e-4 * (1 + abs(energy(x)))
    if key in ("box", "non_negative"):
        assert np.isfinite(energy(x))


def differences(image, isotropic):
    down = np.diff(image, axis=0, append=image[-1:])
    right = np.diff(image, axis=1, append=image[:, -1:])
    if isotropic:
        return np.sqrt(down**2 + right**2).sum()
    return np.abs(down).sum() + np.abs(right).sum()


@pytest.mark.parametrize("isotropic", [True, False])
def test_total_variation_of_images(isotropic):
    image = np.random.default_rng(0).normal(size=(2, 4, 5, 3)).astype("float32")
    expected = [
        2.0 * sum(differences(each[..., c], isotropic) for c in range(3))
        for each in image
    ]
    np.testing.assert_allclose(
        number(R.TotalVariation(2.0, isotropic)(image)), expected, rtol=1e-5
    )
    flat = R.TotalVariation(2.0, isotropic, shape=(4, 5, 3))
    np.testing.assert_allclose(number(flat(image.reshape(2, -1))), expected, rtol=1e-5)


@pytest.mark.parametrize("key", MADE)
def test_the_operator_is_bounded(key):
    term = MADE[key]
    u = np.eye(6, dtype="float32")
    columns = number(term.operator(ops.convert_to_tensor(u))).reshape(6, -1)
    assert np.linalg.norm(columns, 2) ** 2 <= term.operator_bound((6,)) + 1e-6


def test_the_bound_of_the_variation_is_tight():
    term = R.TotalVariation()
    u = np.eye(144, dtype="float32").reshape(144, 12, 12, 1)
    columns = number(term.operator(ops.convert_to_tensor(u))).reshape(144, -1)
    exact = np.linalg.norm(columns, 2) ** 2
    assert 7.5 < exact <= term.operator_bound((12, 12, 1)) == 8.0


@pytest.mark.parametrize("key", MADE)
def test_saved_and_loaded(key):
    term = 2.0 * MADE[key] + R.L1(0.1)
    config = keras.saving.serialize_keras_object(term)
    again = keras.saving.deserialize_keras_object(config)
    u = np.linspace(0.0, 0.5, 12, dtype="float32").reshape(2, 6)
    np.testing.assert_allclose(number(again(u)), number(term(u)))
    assert [t.weight for t in again.terms] == [t.weight for t in term.terms]


def test_sums_and_factors():
    u = np.array([[1.0, -2.0, 0.5]], "float32")
    total = 2.0 * (R.L1(0.5) + R.Tikhonov(0.25)) + R.TotalVariation()
    assert len(total.terms) == 3
    expected = 3.5 + 0.5 * 0.5 * 5.25 + 5.5
    assert float(total(u)[0]) == pytest.approx(expected)
    assert R.L1(0.5).weight == 0.5 and (R.L1(0.5) * 2).weight == 1.0


def test_a_regularizer_of_ones_own_is_inverted():
    dense = keras.layers.Dense(5, activation="relu")
    dense.build((None, 3))
    kernel, bias = np.array(dense.kernel), np.array([0.5] * 5)
    dense.bias.assign(bias)
    y = np.array([[0.3, 0.0, 1.0, 0.2, 0.7]], "float32")
    term = Huber(0.2, 0.3)
    result = kl.invert(dense, y, term, max_steps=300, tolerance=1e-5, verbose=False)

    def energy(u):
        z = u @ kernel + bias
        x = np.maximum(z, 0)
        fidelity = np.sum(0.5 * y**2 + 0.5 * x**2 - y * z)
        size = np.abs(u)
        huber = np.where(size <= 0.3, 0.5 * u**2, 0.3 * (size - 0.15))
        return fidelity + 0.2 * huber.sum()

    best = optimize.minimize(energy, np.zeros(3), method="BFGS")
    assert result.objective[0] == pytest.approx(best.fun, rel=1e-5)
