"""Each activation against convex analysis done by brute force in float64."""

import numpy as np
import pytest
from cases import CASES, SCALARS, VECTORS, WIDE, Vector, in_domain, points
from compiled import HAS_DOUBLE, REAL, array, close, grad, needs_double, tensor
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

STEPS = (0.01, 0.3, 1.0, 5.0)

every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def potential(activation, x):
    return array(activation.potential(tensor(x, REAL)))


def argmin(case, v, step):
    """Row by row, entry by entry where the activation is separable."""
    if isinstance(case, Vector):
        return np.stack([case.argmin(row, step) for row in v])
    return np.reshape([case.argmin(each, step) for each in v.ravel()], v.shape)


@every
def test_sigma_is_what_theory_says(case):
    z = points(50, scale=4.0)
    got = array(case.make().sigma(tensor(z, REAL)))
    close(got, case.sigma(z), 1e-12, 2e-6)


@every
def test_sigma_is_the_brute_force_argmin(case):
    z = points(3)
    sigma = array(case.make()(tensor(z, "float32")))
    np.testing.assert_allclose(sigma, argmin(case, z, 1.0), atol=2e-6)


@every
def test_prox_is_the_brute_force_argmin(case):
    v = points(3 * len(STEPS), seed=1)
    steps = np.repeat(STEPS, 3)[:, None]
    prox = array(case.make().prox(tensor(v, REAL), tensor(steps, REAL)))
    blocks = zip(np.split(v, len(STEPS)), STEPS, strict=True)
    expected = np.concatenate([argmin(case, block, step) for block, step in blocks])
    close(prox, expected, 5e-6, 2e-5)


@every
def test_potential_is_what_theory_says(case):
    x = in_domain(case, points(6, scale=0.5))
    activation = case.make()
    if isinstance(case, Vector):
        expected = [case.potential(row) for row in x]
    else:
        expected = case.potential(x).sum(-1)
    close(potential(activation, x), expected, 1e-9, 1e-5)


@every
def test_fenchel_young(case):
    activation = case.make()
    z = points(8)

    def gap(x, z):
        parts = np.sum(0.5 * x**2 - x * z, -1)
        conjugate = array(activation.conjugate(tensor(z, REAL)))
        return parts + potential(activation, x) + conjugate

    close(gap(case.sigma(z), z), 0, 1e-9, 2e-5)
    x = in_domain(case, points(8, scale=0.7, seed=2))
    distance = 0.5 * np.sum((x - case.sigma(z)) ** 2, -1)
    assert np.all(gap(x, z) >= distance - (1e-9 if HAS_DOUBLE else 2e-5))


def scalar_conjugate_prox(case, z):
    """`prox_{Ψ*}(z)`: the y with `y + ∂Ψ*(y) ∋ z`, by two nested searches."""
    low, high = max(case.domain[0], -WIDE), min(case.domain[1], WIDE)

    def slope(y):
        """`argmax_x x y − Ψ(x)`, an element of `∂Ψ*(y)`."""
        found = optimize.minimize_scalar(
            lambda x: case.potential(x) - x * y,
            bounds=(low, high),
            method="bounded",
            options={"xatol": 1e-9},
        )
        return found.x

    reach = abs(z) + abs(slope(0.0)) + 3
    return optimize.brentq(lambda y: y + slope(y) - z, -reach, reach, xtol=1e-9)


@pytest.mark.parametrize("case", SCALARS.values(), ids=SCALARS)
def test_moreau_identity(case):
    z = np.array([-2.3, -0.2, 0.15, 1.7])
    dual = [scalar_conjugate_prox(case, each) for each in z]
    sigma = array(case.make()(tensor(z[None], "float32")))[0]
    np.testing.assert_allclose(sigma + dual, z, atol=2e-5)


def test_moreau_identity_of_vectors():
    z = points(3)
    norm = np.linalg.norm(z, axis=-1, keepdims=True)

    def sigma(name):
        return array(VECTORS[name].make().sigma(tensor(z, REAL)))

    # The dual of a norm is the indicator of its dual ball, and back.
    shrunk = z * np.maximum(1 - 1.5 / norm, 0)
    np.testing.assert_allclose(sigma("l2_ball_projection") + shrunk, z, rtol=1e-5)
    clipped = z * np.minimum(0.7 / norm, 1)
    np.testing.assert_allclose(sigma("group_soft_threshold") + clipped, z, rtol=1e-5)

    # The dual of the simplex is the maximum: epigraph form.
    def maximum_prox(row):
        found = optimize.minimize(
            lambda yt: 0.5 * np.sum((yt[:-1] - row) ** 2) + yt[-1],
            np.append(row, row.max()),
            method="SLSQP",
            constraints={"type": "ineq", "fun": lambda yt: yt[-1] - yt[:-1]},
            options={"ftol": 1e-14},
        )
        return found.x[:-1]

    dual = np.stack([maximum_prox(row) for row in z])
    np.testing.assert_allclose(sigma("simplex_projection") + dual, z, atol=1e-6)


numbers = st.lists(st.floats(-30, 30), min_size=8, max_size=8)


@every
@settings(max_examples=25, deadline=None, derandomize=True)
@given(a=numbers, b=numbers)
def test_firmly_nonexpansive(case, a, b):
    activation = case.make()
    a, b = tensor([a], REAL), tensor([b], REAL)
    moved = array(activation.sigma(a)) - array(activation.sigma(b))
    slack = np.sum(moved * (array(a) - array(b))) - np.sum(moved**2)
    assert slack >= (-1e-10 if HAS_DOUBLE else -1e-3)


@every
def test_gradient_of_conjugate_is_sigma(case):
    activation = case.make()
    z = np.concatenate([points(3), np.zeros((1, 4)), np.full((1, 4), 0.4)])
    weights = np.array([1.0, -2.0, 0.5, 1.0, 3.0])

    def weighted(z):
        return activation.conjugate(z) * tensor(weights, z.dtype)

    (gradient,) = grad(weighted, tensor(z, REAL))
    sigma = weights[:, None] * case.sigma(z)
    close(gradient, sigma, 1e-12, 2e-6)


@needs_double
@every
def test_difference_quotient_of_conjugate_is_sigma(case):
    activation = case.make()
    z = points(5)
    h = 1e-5
    for axis in range(z.shape[1]):
        shift = h * np.eye(z.shape[1])[axis]
        up = array(activation.conjugate(tensor(z + shift, REAL)))
        down = array(activation.conjugate(tensor(z - shift, REAL)))
        quotient = (up - down) / (2 * h)
        np.testing.assert_allclose(quotient, case.sigma(z)[:, axis], atol=1e-8)


@needs_double
@every
def test_gradient_of_prox(case):
    """The derivative of prox in `v` and `step`, against difference quotients."""
    activation = case.make()
    v, step = points(3, seed=3), np.array([[0.2], [0.7], [2.5]])
    weights = points(3, seed=4)

    def weighted(v, step):
        prox = activation.scaled_prox(v, step, *activation.parameters())
        return prox * tensor(weights, REAL)

    gradients = grad(weighted, tensor(v, REAL), tensor(step, REAL))
    for index, moved in enumerate((points(3, seed=5), points(3, 1, seed=6))):
        ends = []
        for h in (1e-6, -1e-6):
            at = [v, step]
            at[index] = at[index] + h * moved
            ends.append(array(weighted(*(tensor(a, REAL) for a in at))).sum())
        slope = (ends[0] - ends[1]) / 2e-6
        got = np.sum(gradients[index] * moved)
        np.testing.assert_allclose(got, slope, atol=1e-5)
