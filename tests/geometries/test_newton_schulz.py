"""Polar factors and inverse roots against those of NumPy's factorisations."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lifted.backend import compiled
from keras_lifted.geometries import newton_schulz

JAX = keras.backend.backend() == "jax"
RNG = np.random.default_rng(0)
SHAPES = ((1, 1), (3, 17), (2, 4, 9, 6))


def run(function, matrix, *arguments):
    """`function` of a float32 matrix, as float64 array."""
    once = compiled(lambda a: function(a, *arguments), xla=JAX)
    tensor = ops.convert_to_tensor(np.asarray(matrix).astype("float32"))
    return ops.convert_to_numpy(once(tensor)).astype("float64")


def polar(matrix, steps=5):
    return run(newton_schulz.polar, matrix, steps)


def inverse_root(matrix, damping):
    return run(newton_schulz.inverse_root, matrix, damping)


def with_values(n, m, values):
    """Random factors, and the matrix of these singular values."""
    u = np.linalg.qr(RNG.normal(size=(n, len(values))))[0]
    v = np.linalg.qr(RNG.normal(size=(m, len(values))))[0]
    return u, v, (u * values) @ v.T


@pytest.mark.parametrize(("steps", "least"), [(3, 0.1), (5, 0.01)])
@pytest.mark.parametrize(("n", "m"), [(8, 8), (30, 8), (8, 30)])
def test_polar_brings_singular_values_near_one(n, m, steps, least):
    for _ in range(5):
        values = np.exp(RNG.uniform(np.log(least), 0, size=8))
        values[0] = 1.0
        u, v, matrix = with_values(n, m, values)
        found = u.T @ polar(matrix, steps) @ v
        np.testing.assert_allclose(found, np.diag(np.diag(found)), atol=5e-3)
        assert 0.65 < np.diag(found).min() and np.diag(found).max() < 1.25


@pytest.mark.parametrize("shape", SHAPES)
def test_polar_is_the_same_at_every_scale(shape):
    matrix = RNG.normal(size=shape)
    expected = polar(matrix)
    for scale in (1e-25, 1e-12, 1e12, 1e30):
        np.testing.assert_allclose(polar(matrix * scale), expected, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_polar_of_the_transpose_is_the_transpose(shape):
    matrix = RNG.normal(size=shape)
    turned = polar(np.swapaxes(matrix, -1, -2))
    np.testing.assert_allclose(turned, np.swapaxes(polar(matrix), -1, -2), atol=1e-4)


def test_polar_of_zeros_is_zero():
    assert not polar(np.zeros((2, 4, 3))).any()


def covariances(shape, spread):
    """Random ones of mean eigenvalue 1, whose eigenvalues lie `spread` decades."""
    *batch, n, _ = shape
    q = np.linalg.qr(RNG.normal(size=(*batch, n, n)))[0]
    values = 10.0 ** -RNG.uniform(0, spread, size=(*batch, n))
    values *= n / values.sum(axis=-1, keepdims=True)
    return (q * values[..., None, :]) @ np.swapaxes(q, -1, -2)


@pytest.mark.parametrize("shape", [(1, 1), (6, 6), (2, 80, 80)])
@pytest.mark.parametrize("spread", [0.5, 8.0])
def test_inverse_root(shape, spread):
    damping = 0.03
    matrix = covariances(shape, spread)
    values, q = np.linalg.eigh(matrix + damping * np.eye(shape[-1]))
    expected = (q / np.sqrt(values)[..., None, :]) @ np.swapaxes(q, -1, -2)
    found = inverse_root(matrix, damping)
    error = np.linalg.norm(found - expected, 2, axis=(-2, -1))
    assert (error < 0.05 * np.linalg.norm(expected, 2, axis=(-2, -1))).all()
    np.testing.assert_array_equal(found, np.swapaxes(found, -1, -2))


def test_inverse_root_of_rank_one():
    """All of the trace in one direction, as a first gradient of a single output has."""
    n, damping = 64, 0.03
    u = np.linalg.qr(RNG.normal(size=(n, 1)))[0]
    found = inverse_root(n * u @ u.T, damping)
    along = float((u.T @ found @ u).item())
    assert abs(along * np.sqrt(n + damping) - 1) < 0.05
    others = found - u @ (u.T @ found)
    top = np.linalg.norm(others, 2)
    assert abs(top * np.sqrt(damping) - 1) < 0.05


def test_frobenius():
    matrix = RNG.normal(size=(2, 3, 4))
    expected = np.linalg.norm(matrix, axis=(-2, -1), keepdims=True)
    found = run(newton_schulz.frobenius, matrix)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
