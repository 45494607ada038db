"""Dtypes, compilation, extreme values and cancellation."""

import keras
import numpy as np
import pytest
from cases import CASES, SCALARS, in_domain, points
from compiled import HAS_DOUBLE, REAL, array, grad, jit, tensor
from scipy import special

from keras_lifted.layers import ProximalActivation, dilogarithm

EPS = {
    "bfloat16": 2.0**-7,
    "float16": 2.0**-10,
    "float32": 2.0**-23,
}
if HAS_DOUBLE:
    EPS["float64"] = 2.0**-52

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
dtypes = pytest.mark.parametrize("dtype", EPS)


@every
@dtypes
def test_dtypes(case, dtype):
    """Dtypes in and out, and errors of a few roundings."""
    activation = case.make()
    tolerance = {"rtol": 4 * EPS[dtype], "atol": 8 * EPS[dtype]}
    z = tensor(points(6), dtype)
    truth = case.sigma(array(z))
    sigma = activation(z) if dtype == "float32" else activation.sigma(z)
    prox = activation.prox(z, 1.0)
    wide = "float64" if dtype == "float64" else "float32"
    for result in (sigma, prox, activation.sigma_difference(z, z)):
        assert keras.backend.standardize_dtype(result.dtype) == dtype
        assert result.shape == z.shape
    for result in (activation.conjugate(z), activation.potential(sigma)):
        assert keras.backend.standardize_dtype(result.dtype) == wide
        assert result.shape == (6,)
        assert np.all(np.isfinite(array(result)))
    np.testing.assert_allclose(array(sigma), truth, **tolerance)
    np.testing.assert_allclose(array(prox), truth, **tolerance)


def everything(activation):
    """All functions of an activation in one, and their gradients."""

    def function(z, d, step):
        parameters = activation.parameters()
        x = activation.sigma(z, *parameters)
        return (
            x,
            activation.conjugate(z),
            activation.potential(x),
            activation.prox(z, step),
            activation.sigma_difference(z, d, *parameters),
        )

    return function


@every
def test_compiled_equals_eager(case):
    function = everything(case.make())
    z, d = tensor(points(5)), tensor(points(5, seed=1))
    step = tensor([[0.01], [0.3], [1.0], [2.0], [5.0]])
    for eager, compiled in zip(
        function(z, d, step), jit(function)(z, d, step), strict=True
    ):
        np.testing.assert_allclose(array(eager), array(compiled), rtol=1e-5, atol=2e-6)


@every
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_large_inputs(case, dtype):
    activation = case.make()
    scale = 1e4 if dtype == "float32" else 100.0
    base = np.array([1, -1, 0.5, 0, 1e-6, -1e-6, 1e-3, -0.1]) * scale
    rows = np.stack([np.roll(base, k) for k in range(8)] + [0 * base])
    z, d = tensor(rows, dtype), tensor(rows[::-1].copy(), dtype)
    steps = tensor([[1e-3], [0.01], [0.3], [0.9], [1], [1.1], [2], [5], [1]], dtype)
    function = everything(activation)
    # On the edge of the open domains, and for e^|x|, Ψ is infinite in floats.
    results = jit(function)(z, d, steps)
    for index, result in enumerate(results):
        assert not np.any(np.isnan(array(result)))
        assert index == 2 or np.all(np.isfinite(array(result)))

    if dtype == "float16":
        return  # computed in float32 where it matters

    def total(*arguments):
        x, conjugate, _, prox, change = function(*arguments)
        conjugate = keras.ops.cast(conjugate[:, None], x.dtype)
        return x * 0.5 + conjugate * 1e-3 + prox + change

    gradients = grad(total, z, d, steps)
    assert all(np.all(np.isfinite(each)) for each in gradients)


@every
def test_gradient_of_potential_is_finite(case):
    x = tensor(in_domain(case, points(4)))
    assert np.all(np.isfinite(grad(case.make().potential, x)[0]))


def difference(case, z, d):
    activation = case.make()
    return array(
        activation.sigma_difference(tensor(z), tensor(d), *activation.parameters())
    )


@every
@pytest.mark.parametrize("size", [1e-6, 1e-3, 0.3, 3.0, 100.0])
def test_difference_does_not_cancel(case, size):
    """The error of `σ(z) − σ(z − d)` is rounding of `d`, not of `σ(z)`."""
    z = array(tensor(points(40, scale=3.0)))
    d = array(tensor(points(40, scale=size, seed=1)))
    # Kinks and zeros, equal entries, no difference.
    z[:3], z[3], d[4] = np.array([[0.0], [1.0], [2.0]]), z[3, 0], 0.0
    truth = case.sigma(z) - case.sigma(z - d)
    error = np.abs(difference(case, z, d) - truth).max(-1)
    allowed = 16 * EPS["float32"] * np.abs(d).max(-1) + 1e-15
    if case is CASES["simplex_projection"]:
        allowed += 4 * EPS["float32"]  # where the support changes
    assert np.all(error <= allowed)


@every
def test_tiny_difference_is_the_slope(case):
    """`d` far below the resolution of `z`; difference quotients as the truth."""
    z, h = array(tensor(points(40, scale=3.0))), 1e-4
    d = points(40, seed=1)
    truth = (case.sigma(z + h * d) - case.sigma(z - h * d)) / (2 * h)
    error = np.abs(1e20 * difference(case, z, 1e-20 * d) - truth).max(-1)
    smooth = np.abs(case.sigma(z + h * d) + case.sigma(z - h * d) - 2 * case.sigma(z))
    smooth = smooth.max(-1) < 1e-6
    assert smooth.mean() > 0.9
    assert np.all(error[smooth] < 1e-5)


@every
@pytest.mark.parametrize("dtype", sorted({"float32", REAL}))
def test_difference_without_a_formula(case, dtype):
    """An activation that writes none is told apart by a longer secant."""
    activation = case.make()
    z, d = (array(tensor(points(40, scale=3.0, seed=s))) for s in (0, 1))
    slopes = difference(case, z, 1e-20 * d) * 1e20
    given = [tensor(each, dtype) for each in (z, 1e-9 * d)]
    found = ProximalActivation.sigma_difference(
        activation, *given, *activation.parameters()
    )
    error = np.abs(1e9 * array(found) - slopes).max(-1)
    typical = 1e-6 if dtype == "float64" else 2e-3
    assert np.median(error) < typical and np.quantile(error, 0.9) < 10 * typical


@pytest.mark.parametrize("name", ["relu", "tanh", "softplus", "softmax", "isru"])
def test_difference_in_half_precision(name):
    activation = CASES[name].make()
    z, d = tensor(points(20), "float16"), tensor(1e-3 * points(20, seed=1), "float16")
    truth = CASES[name].sigma(array(z)) - CASES[name].sigma(array(z) - array(d))
    np.testing.assert_allclose(
        array(activation.sigma_difference(z, d)), truth, rtol=2e-3, atol=1e-6
    )


@pytest.mark.parametrize("case", SCALARS.values(), ids=SCALARS)
def test_domain(case):
    activation = case.make()

    def potential(x):
        return float(array(activation.potential(tensor([[x]])))[0])

    for edge in case.domain:
        if not np.isfinite(edge):
            continue
        beyond = np.float32(-np.inf if edge <= 0 else np.inf)
        outside = np.nextafter(np.float32(edge), beyond) if edge else -1e-30
        assert potential(outside) == np.inf
        if edge in case.edges:
            expected = float(case.potential(np.float64(edge)))
            assert potential(edge) == pytest.approx(expected, abs=1e-6)
        else:
            assert potential(edge) == np.inf


@pytest.mark.parametrize("name", ["softmax", "simplex_projection"])
def test_simplex_domain(name):
    activation = CASES[name].make()
    x = tensor([[1, 0, 0], [0.2, 0.3, 0.5], [0.6, 0.6, -0.2], [0.5, 0.5, 0.1]])
    potential = array(activation.potential(x))
    assert np.all(np.isfinite(potential[:2])) and np.all(potential[2:] == np.inf)


def test_ball_domain():
    x = tensor([[1.5, 0.0], [0.0, 0.0], [1.2, 1.2]])
    potential = array(CASES["l2_ball_projection"].make().potential(x))
    assert potential.tolist() == [0, 0, np.inf]


NEWTON = ["tanh", "sigmoid", "softplus", "elu", "isru", "isrlu", "arctan", "signed_log"]


@pytest.mark.parametrize("name", NEWTON)
@pytest.mark.parametrize("dtype", ["float32", REAL][: 1 + HAS_DOUBLE])
def test_newton_meets_its_condition(name, dtype):
    """`x + step Ψ'(x) = v` in the form `step u + (1 − step) σ(u) = v`."""
    case = CASES[name]
    u = np.linspace(-30, 30, 601)[:, None]
    step = np.array([[1e-4, 1e-2, 0.5, 0.999, 1.0, 1.001, 2.0, 100.0]])
    v = step * u + (1 - step) * case.sigma(u)
    got = array(case.make().prox(tensor(v, dtype), tensor(step, dtype)))
    error = np.abs(got - case.sigma(u))
    assert np.all(error <= 64 * EPS[dtype] * np.maximum(step, 1) * np.maximum(got, 1))


@pytest.mark.parametrize("scale", [0.1, 3.0, 1000.0])
def test_softmax_prox_meets_its_condition(scale):
    """`v − step u − (1 − step) eᵘ` with `u = log x` is constant."""
    u = np.tile(points(20, 10, scale), (6, 1))
    step = np.repeat([1e-4, 0.03, 0.5, 1.0, 3.0, 100.0], 20)[:, None]
    x = special.softmax(u, axis=-1)
    v = step * u + (1 - step) * x
    if HAS_DOUBLE:
        got = array(CASES["softmax"].make().prox(tensor(v, REAL), tensor(step, REAL)))
        np.testing.assert_allclose(got, x, atol=1e-9)
    got = array(CASES["softmax"].make().prox(tensor(v), tensor(step)))
    tolerance = 1e-5 * (1 + scale * np.minimum(step, 1 / step))
    assert np.all(np.abs(got - x) <= tolerance)


def test_dilogarithm():
    close = {"rtol": 64 * EPS[REAL], "atol": 64 * EPS[REAL]}
    z = array(tensor(np.linspace(-40, 40, 1601)))
    got = array(dilogarithm.minus_dilogarithm_of_minus_exp(tensor(z, REAL)))
    np.testing.assert_allclose(got, -special.spence(1 + np.exp(z)), **close)
    x = array(tensor(np.concatenate([[0], np.logspace(-8, 2, 500)])))
    got = array(dilogarithm.dilogarithm_of_exp_less_zeta(tensor(x, REAL)))
    truth = special.spence(-np.expm1(-x)) - np.pi**2 / 6
    np.testing.assert_allclose(got, truth, **close)
