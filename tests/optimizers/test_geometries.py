"""Geometries against dense linear algebra in float64."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

import keras_lifted as kl
from keras_lifted.geometries.base import Sample
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.kronecker import noise_damping
from keras_lifted.geometries.lockstep import lockstep
from keras_lifted.geometries.newton_schulz import flattened
from keras_lifted.geometries.newton_schulz import flattening
from keras_lifted.geometries.newton_schulz import inverse
from keras_lifted.geometries.newton_schulz import inverse_root
from keras_lifted.geometries.newton_schulz import polar
from keras_lifted.geometries.norms import frobenius
from keras_lifted.geometries.norms import inner
from keras_lifted.geometries.refresh import Due
from keras_lifted.geometries.sketch import inner_with
from keras_lifted.geometries.sketch import sketch
from keras_lifted.geometries.spectral import steepest
from keras_lifted.geometries.tiles import Tiles
from keras_lifted.geometries.whiteness import whitens

N, M, ROWS = 12, 7, 40


def covariance(size, decades, seed=0):
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return rotation * np.logspace(0, -decades, size) @ rotation.T


def power(matrix, exponent, damping):
    values, vectors = np.linalg.eigh(matrix / (np.trace(matrix) / len(matrix)))
    return vectors * (values + damping) ** exponent @ vectors.T


def step(seed=0, bias=True, rate=0.1, curvature=3.0, rows=ROWS):
    rng = np.random.default_rng(seed)

    def tensor(*shape):
        return ops.convert_to_tensor(rng.normal(size=shape), "float32")

    return Step(
        tensor(N, M),
        tensor(M) if bias else None,
        tensor(N),
        tensor(rows, N),
        ops.convert_to_tensor(0.8, "float32"),
        ops.convert_to_tensor(rate, "float32"),
        ops.convert_to_tensor(curvature, "float32"),
        ops.convert_to_tensor(0.5, "float32"),
        due(factors=True),
    )


def due(factors=False):
    return Due(*(ops.convert_to_tensor(each) for each in (True, factors, 4)))


def zeros(geometry, inputs=N, outputs=M):
    shapes = geometry.shapes(inputs, outputs)
    return {name: ops.zeros(shape) for name, shape in shapes.items()}


def array(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def moved(displacement):
    joint = array(displacement.length) * array(displacement.joint)
    return joint[:-1], joint[-1]


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e12])
@pytest.mark.parametrize("decades", [1, 4])
def test_inverse_root_and_inverse(scale, decades):
    a = covariance(40, decades)
    given = ops.convert_to_tensor(scale * a[None], "float32")
    for function, exponent in ((inverse_root, -0.5), (inverse, -1.0)):
        found = array(function(given, 1e-3))[0]
        wanted = power(a, exponent, 1e-3)
        error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
        assert error < 0.02


def test_inverse_root_takes_fewer_steps_for_larger_dampings_as_exactly():
    a = covariance(40, 4)
    given = ops.convert_to_tensor(a[None], "float32")
    for damping in (1e-3, 1e-2, 0.1, 1.0, 10.0):
        wanted = power(a, -0.5, damping)
        error = np.linalg.norm(array(inverse_root(given, damping))[0] - wanted)
        assert error < 0.02 * np.linalg.norm(wanted)


@pytest.mark.parametrize("decades, damping", [(2, 0.1), (4, 1e-3), (1, 1.0)])
def test_a_root_whitens_until_the_matrix_has_changed(decades, damping):
    size = 40
    a, b = covariance(size, decades), covariance(size, decades, seed=1)
    near = a + 0.02 * a @ np.diag(np.random.default_rng(2).normal(size=size)) @ a
    root = power(a, -0.5, damping)[None]

    def spread(matrix):
        scaled = matrix / (np.trace(matrix) / size) + damping * np.eye(size)
        values = np.linalg.eigvalsh(root[0] @ scaled @ root[0])
        return np.std(values) / np.mean(values)

    assert spread(near) < 0.2 < 0.4 < spread(b)
    for given, wanted in (
        ((root, a[None]), True),
        ((3.0 * root, a[None]), True),  # steps have a length of their own
        ((root, near[None]), True),
        ((root, b[None]), False),
        ((0.0 * root, a[None]), False),
        ((np.nan * root, a[None]), False),
        ((root, np.nan * a[None]), False),
    ):
        tensors = (ops.convert_to_tensor(each, "float32") for each in given)
        assert bool(whitens(*tensors, damping)) is wanted


def test_norms_are_sums_over_all_entries():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 9, 5)).astype("float32")
    assert np.isclose(float(inner(one, other)), np.sum(one * other), rtol=1e-5)
    for scale in (1e-25, 1.0, 1e25):  # squares of these leave float32
        found = float(frobenius(ops.convert_to_tensor(scale * one, "float32"))[0, 0])
        assert np.isclose(found, scale * np.linalg.norm(one), rtol=1e-5)


def test_inverse_root_of_a_singular_matrix_is_finite():
    ones = ops.ones((1, 6, 6))
    for matrix in (ops.zeros((1, 6, 6)), ones):
        assert np.isfinite(array(inverse_root(matrix, 1e-3))).all()


@pytest.mark.parametrize("shape", [(9, 5), (5, 9), (3, 8, 8)])
def test_polar_singular_values(shape):
    u, _, vt = np.linalg.svd(np.random.default_rng(0).normal(size=shape))
    rank = min(shape[-2:])
    u, vt = u[..., :, :rank], vt[..., :rank, :]
    matrix = u * np.logspace(0, -1, rank) @ vt
    found = array(polar(ops.convert_to_tensor(matrix, "float32")))
    values = np.linalg.svd(found, compute_uv=False)
    assert 0.6 < values.min() and values.max() < 1.3


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e12])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (40, 40)])
def test_flattening_brings_singular_values_together(shape, scale):
    rng = np.random.default_rng(0)
    u, _, vt = np.linalg.svd(rng.normal(size=shape), full_matrices=False)
    values = np.logspace(0, -1, 40)  # the least, a quarter of their root mean square
    matrix = ops.convert_to_tensor(scale * (u * values) @ vt, "float32")
    factor = flattening(matrix)
    assert factor.shape == (40, 40)
    found = u.T @ array(flattened(matrix, factor)) @ vt.T / scale
    assert np.abs(found - np.diag(np.diag(found))).max() < 1e-3 * found.max()
    flat = np.diag(found)
    assert flat.max() < 2 * flat.min()
    near = matrix + 0.01 * scale * ops.convert_to_tensor(
        rng.normal(size=shape), "float32"
    )
    spread = np.linalg.svd(array(near) / scale, compute_uv=False)
    served = np.linalg.svd(array(flattened(near, factor)) / scale, compute_uv=False)
    assert served.max() / served.min() < 0.5 * spread.max() / spread.min()


@pytest.mark.parametrize("follows", [True, False])
def test_kronecker_flattens_with_a_factor_that_serves_some_steps(follows):
    geometry, given = kl.geometries.Kronecker(), step()
    gram = ops.convert_to_tensor(covariance(N, 2)[None], "float32")
    state = geometry.displace(zeros(geometry), given, gram).state
    state = geometry.displace(state, given, gram).state

    def next_step(state, moments, scale=1.0):
        flags = (ops.convert_to_tensor(each) for each in (moments, False))
        now = Due(*flags, 4)
        if not follows:
            one = dataclasses.replace(given, kernel=scale * given.kernel[::-1], due=now)
            return geometry.displace(state, one, gram)
        rows, d = given.rows[:5], scale * given.rows[5:10, :M]
        sample = Sample(rows, d, given.mean, given.rate, 0.9, True)
        (new,) = lockstep([geometry.follow(state, sample, gram, given.signal, now)])
        return new

    fresh, kept = next_step(state, True), next_step(state, False)
    assert np.array_equal(array(kept.state["flat"]), array(state["flat"]))
    assert not np.allclose(array(fresh.state["flat"]), array(state["flat"]))
    values = np.linalg.svd(array(fresh.joint), compute_uv=False)
    assert values[0] < 2.5 * values[4]  # so many are not 0 after five samples
    bad = next_step(state, True, np.nan)
    assert np.array_equal(array(bad.state["flat"]), array(state["flat"]))
    for widest in (M - 1, M):
        shapes = kl.geometries.Kronecker(widest_polar=widest).shapes(N, M)
        assert ("flat" in shapes) is (widest == M)


def test_spectral_is_the_polar_factor():
    given = step(bias=False)
    kernel, bias = moved(kl.geometries.Spectral(5).displace({}, given, None))
    assert np.abs(bias).max() == 0.0
    u, _, vt = np.linalg.svd(array(given.gradient), full_matrices=False)
    cosine = np.sum(kernel * (u @ vt)) / np.linalg.norm(kernel) / np.sqrt(M)
    assert cosine > 0.97
    assert np.isclose(np.linalg.norm(kernel), 0.1 * np.sqrt(N), rtol=0.2)


@pytest.mark.parametrize(
    "shape, factor", [((4, 16), 2.0), ((5, 5), 1.0), ((12, 3), 2.0), ((90, 1), 6**0.5)]
)
def test_steps_are_longer_for_kernels_that_are_no_square(shape, factor):
    gradient = np.random.default_rng(0).normal(size=shape)
    found = array(steepest(ops.convert_to_tensor(gradient, "float32"), iterations=10))
    size = np.linalg.norm(found) / np.sqrt(min(shape))
    assert size == pytest.approx(factor, rel=0.25)


def started(geometry, right=None):
    """A state that has seen a gradient, whose `D` is `right`."""
    right = np.eye(M) if right is None else right
    given = ops.convert_to_tensor(right[None], "float32")
    return {**zeros(geometry), "steps": ops.ones(()), "right": given}


@pytest.mark.parametrize("bias", [True, False])
def test_kronecker_whitens_both_sides(bias):
    given = step(bias=bias)
    gram, right = covariance(N, 2), covariance(M, 2, seed=1)
    geometry = kl.geometries.Kronecker(damping=1e-3, widest_polar=1)
    tensor = ops.convert_to_tensor(gram[None], "float32")
    new = geometry.displace(started(geometry, right), given, tensor)
    half = power(gram, -0.5, 1e-3) @ array(given.gradient)
    half = np.vstack([half, array(given.bias) if bias else np.zeros(M)])
    wanted = half @ power(right, -0.5, 1e-3)
    wanted *= 0.1 * np.sqrt(N) / np.linalg.norm(wanted)
    found = np.vstack(moved(new))
    assert np.linalg.norm(found - wanted) < 0.03 * np.linalg.norm(wanted)
    assert float(new.state["steps"]) == 2.0
    own = half.T @ half
    wanted = 0.5 * right + 0.5 * own / np.trace(own)  # a mean of two
    assert np.allclose(array(new.state["right"])[0], wanted, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_kronecker_keeps_roots_that_still_whiten(seed):
    given, geometry = step(), kl.geometries.Kronecker()
    gram, other = (
        ops.convert_to_tensor(covariance(N, 2, each)[None], "float32")
        for each in (0, seed)
    )
    state = started(geometry)
    first = geometry.displace(state, given, gram).state
    again = geometry.displace({**first, "right": state["right"]}, given, other).state
    for name in ("left_root", "right_root"):
        kept = np.array_equal(array(first[name]), array(again[name]))
        assert kept is (name == "right_root" or seed == 0)


def test_the_first_step_of_kronecker_is_that_of_the_gradient():
    given = step()
    geometry = kl.geometries.Kronecker(widest_polar=1)
    gram = ops.convert_to_tensor(covariance(N, 2)[None], "float32")
    kernel, bias = moved(geometry.displace(zeros(geometry), given, gram))
    wanted = np.vstack([array(given.gradient), array(given.bias)])
    wanted *= 0.1 * np.sqrt(N) / np.linalg.norm(wanted)
    assert np.allclose(np.vstack([kernel, bias]), wanted, atol=1e-5)


def test_damping_grows_with_the_noise():
    dampings = [
        float(noise_damping(ops.convert_to_tensor(share, "float32")))
        for share in (-0.1, 0.1, 0.25, 0.5, 0.9, 1)
    ]
    assert dampings == sorted(dampings, reverse=True)
    assert np.isclose(dampings[0], 1.0) and np.isclose(dampings[-1], 1e-3)
    given = step()
    gram = ops.convert_to_tensor(covariance(N, 2)[None], "float32")
    geometry = kl.geometries.Kronecker()
    clear, noisy = (
        geometry.displace(
            started(geometry),
            dataclasses.replace(given, signal=ops.convert_to_tensor(share, "float32")),
            gram,
        ).state["left_root"][0]
        for share in (1.0, 0.1)
    )
    assert np.linalg.cond(array(clear)) > 4 * np.linalg.cond(array(noisy))


SIDES = ("left", "right")


@pytest.mark.parametrize("count", [4, 6, 8])  # each the cheapest in another order
@pytest.mark.parametrize("factors", [True, False])
@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_kronecker_follows_samples_as_it_does_their_gradient(
    bias, rest, factors, count
):
    geometry = kl.geometries.Kronecker(widest_outputs=4)
    gram, other = (
        ops.convert_to_tensor(covariance(N, 2, seed)[None], "float32")
        for seed in (0, 1)
    )
    given = step(bias=bias)
    state = geometry.displace(zeros(geometry), given, gram).state
    first = geometry.displace(state, given, gram)  # now it has roots
    backs = {f"{s}_back": np.linalg.inv(first.state[f"{s}_root"]) for s in SIDES}
    raw = kl.geometries.Kronecker(widest_outputs=4, widest_polar=1)
    without = {name: value for name, value in state.items() if name != "flat"}
    whitened = raw.displace(without, given, gram).joint
    state = {**first.state, **backs, "whitened": whitened}
    rng = np.random.default_rng(1)
    a, d, part, shift = (
        ops.convert_to_tensor(rng.normal(size=size), "float32")
        for size in ((count, N), (count, M), (N + 1, M), (N,))
    )
    before = given.gradient  # about the mean before it fell by `shift`
    if bias:
        before = before + shift[:, None] * given.bias
    part = part * (1.0 if rest else 0.0)
    kernel = ops.matmul(ops.transpose(a), d) + part[:-1]

    def exact(keep):
        """The step from a mean of gradients that keeps so much of the one before."""
        mean = dataclasses.replace(
            given,
            kernel=keep * before + (1.0 - keep) * kernel,
            bias=keep * given.bias + (1.0 - keep) * (ops.sum(d, axis=0) + part[-1])
            if bias
            else None,
            mean=ops.zeros((N,)),
            due=due(factors),
        )
        return geometry.displace(state, mean, other)

    rest_of = part if bias else ops.concatenate([part[:-1], 0.0 * part[-1:]], axis=0)
    sample = Sample(a, d, shift, given.rate, 0.9, bias, rest_of)
    run = geometry.follow(state, sample, other, given.signal, due(factors))
    (followed,) = lockstep([run])
    ahead = exact(0.9 * 0.9)
    for one, two in zip(moved(followed), moved(ahead), strict=True):
        assert np.allclose(one, two, atol=1e-3 if factors else 1e-5)
    state_of_mean = exact(0.9).state
    for name in ("left_root", "right", "steps"):
        one, two = array(followed.state[name]), array(state_of_mean[name])
        assert np.allclose(one, two, rtol=1e-3, atol=1e-3)


def test_a_sketch_tells_inner_products_of_gradients_and_steps_down():
    rng = np.random.default_rng(0)
    m = rng.normal(size=(60, 50)) @ covariance(50, 2)
    w = covariance(60, 1) @ m @ covariance(50, 1, seed=1)
    m, w = (ops.convert_to_tensor(each, "float32") for each in (m, w))
    exact = float(inner(m, w))
    assert np.isclose(float(inner_with(sketch(m), w)), exact, rtol=0.3)
    assert np.isclose(float(inner_with(sketch(2.0 * m), -w)), -2.0 * exact, rtol=0.3)


def test_covariance_step_has_the_asked_length():
    given = step()
    gram = covariance(N, 2)
    geometry = kl.geometries.Covariance(damping=0.01)
    new = geometry.displace(
        zeros(geometry), given, ops.convert_to_tensor(gram[None], "float32")
    )
    wanted = power(gram, -1.0, 0.01) @ array(given.gradient)
    found, bias = moved(new)
    cosine = np.sum(found * wanted) / np.linalg.norm(found) / np.linalg.norm(wanted)
    assert cosine > 0.9999
    shift = array(given.rows) @ found + bias
    assert np.isclose(np.sqrt(np.mean(shift**2)), 0.1 * 0.8, rtol=1e-4)


@pytest.mark.parametrize("rows", [4, 40])
def test_frobenius_is_the_implicit_step(rows):
    given = step(rows=rows)
    new = kl.geometries.Frobenius().displace({}, given, None)
    a = array(given.rows)
    system = 3.0 * a.T @ a / rows + np.eye(N) / 0.1
    wanted = np.linalg.solve(system, array(given.gradient))
    kernel, bias = moved(new)
    assert np.allclose(kernel, wanted, rtol=1e-3, atol=1e-5)
    assert np.allclose(bias, array(given.bias) / (3.0 + 10.0), rtol=1e-5)


def test_tiles_are_the_diagonal_blocks():
    tiles = Tiles(N, 5)
    assert tiles.shape == (3, 4, 4)
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(N, 6))
    gram = array(tiles.gram(ops.convert_to_tensor(matrix, "float32")))
    full = matrix @ matrix.T
    for i in range(3):
        part = slice(4 * i, 4 * i + 4)
        assert np.allclose(gram[i], full[part, part], atol=1e-5)
    block = np.zeros((N, N))
    for i in range(3):
        block[4 * i : 4 * i + 4, 4 * i : 4 * i + 4] = gram[i]
    right = array(
        tiles.apply_right(ops.transpose(matrix), ops.convert_to_tensor(gram, "float32"))
    )
    assert np.allclose(right, matrix.T @ block, atol=1e-4)
    columns = ops.convert_to_tensor(matrix.T, "float32")
    assert np.allclose(array(tiles.products(columns, columns)), gram, atol=1e-5)
    product = tiles.apply(
        ops.convert_to_tensor(gram, "float32"), ops.convert_to_tensor(matrix, "float32")
    )
    assert np.allclose(array(product), block @ matrix, atol=1e-4)


def test_a_padded_tile_keeps_its_size():
    tiles = Tiles(11, 4)
    matrix = ops.ones((11, 2))
    assert tiles.apply(ops.ones(tiles.shape), matrix).shape == (11, 2)


@pytest.mark.parametrize(
    "geometry",
    [
        kl.geometries.Kronecker(damping=0.01, widest=64),
        kl.geometries.Covariance(0.1),
        kl.geometries.Spectral(3),
        kl.geometries.Frobenius(),
    ],
)
def test_config(geometry):
    config = keras.saving.serialize_keras_object(geometry)
    again = kl.geometries.get(config)
    assert type(again) is type(geometry)
    assert again.get_config() == geometry.get_config()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kl.geometries.Kronecker(damping=0), "damping.*Received: damping=0"),
        (lambda: kl.geometries.Kronecker(decay=1.0), "decay.*Received"),
        (lambda: kl.geometries.Kronecker(widest=0), "widest.*Received"),
        (lambda: kl.geometries.Kronecker(widest_outputs=0), "widest_outputs.*Received"),
        (lambda: kl.geometries.Covariance(damping="a"), "damping.*Received"),
        (lambda: kl.geometries.Spectral(iterations=0), "iterations.*Received"),
        (lambda: kl.geometries.get("euclid"), "geometry.*Received: 'euclid'"),
    ],
)
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
