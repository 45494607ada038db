"""Directions of the geometries against NumPy transcriptions of their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lifted import geometries
from keras_lifted.backend import compiled
from keras_lifted.geometries import kronecker, newton_schulz
from keras_lifted.geometries.layout import WIDEST, Layout

frobenius, spectral = geometries.get("frobenius"), geometries.get("spectral")
JAX = keras.backend.backend() == "jax"
RNG = np.random.default_rng(0)
DENSE = Layout(1, 1, 7, 5, True)
LAYOUTS = {
    "dense": DENSE,
    "dense, wide": Layout(1, 1, 4, 12, False),
    "conv": Layout(1, 9, 3, 6, True),
    "tiles": Layout(1, 1, WIDEST + 10, 12, True),
    "tiles of outputs": Layout(1, 4, 3, WIDEST + 10, False),
}


def array(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def random(layout):
    """Entries of a layout with zeros as its filling."""
    kernels = RNG.normal(
        size=(layout.count, layout.sites, layout.inputs, layout.outputs)
    )
    biases = RNG.normal(size=(layout.count, layout.outputs)).astype("float32")
    kernels = ops.convert_to_tensor(kernels.astype("float32"))
    return layout.join(kernels, biases if layout.biased else None)


def zeros(layout, geometry):
    return {key: ops.zeros(shape) for key, shape in geometry.init(layout).items()}


def refreshed(layout, state, gradient, keep=0.0):
    """The state after one refresh of a single group."""

    def refresh(state, gradient):
        return kronecker.refresh([layout], [state], [gradient], keep)[0]

    return compiled(refresh, xla=JAX)(state, gradient)


def direction(layout, state, momentum, geometry=kronecker):
    def directed(state, momentum):
        return geometry.direction(layout, state, momentum)

    return array(compiled(directed, xla=JAX)(state, momentum))


def rough_polar(matrix, steps):
    """The quintic of `newton_schulz` on singular values."""
    a, b, c = newton_schulz._ROUGHLY_TO_ONE
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sum(s**4) ** 0.25
    for _ in range(steps):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


def root(covariance, damping):
    mean = np.trace(covariance) / len(covariance)
    values, q = np.linalg.eigh(covariance / mean + damping * np.eye(len(covariance)))
    return (q / np.sqrt(values)) @ q.T


def in_tiles(matrix, tiles):
    many, wide = tiles
    number = np.repeat(np.arange(many), wide)
    return matrix * (number[:, None] == number)


def covariances(layout, g):
    """One kernel's, of trace 1: of its inputs, outputs and sites."""
    found = {
        "inputs": in_tiles(np.einsum("siw,sjw->ij", g, g), layout.rows),
        "outputs": in_tiles(np.einsum("siw,siv->wv", g, g), layout.columns),
    }
    if layout.sites > 1:
        found["sites"] = np.einsum("siw,tiw->st", g, g)
    return {side: each / np.trace(each) for side, each in found.items()}


def transcribed(layout, found, j):
    """`polar(P J Q)` of one kernel."""
    roots = {side: root(each, kronecker.DAMPING) for side, each in found.items()}
    sites = roots.get("sites", np.eye(layout.sites))
    x = np.einsum("st,ij,tjw,wv->siv", sites, roots["inputs"], j, roots["outputs"])
    many, wide = layout.columns
    x = x.reshape(-1, many * wide)
    parts = [x[:, k * wide : (k + 1) * wide] for k in range(many)]
    parts = [rough_polar(part, kronecker.STEPS) for part in parts]
    return np.concatenate(parts, axis=1).reshape(j.shape)


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_kronecker(layout):
    first, second, momentum = (random(layout) for _ in range(3))
    state = zeros(layout, kronecker)
    for gradient, keep in ((first, 0.0), (second, 0.5)):
        state = refreshed(layout, state, gradient, keep)
    one, two = (covariances(layout, array(each)[0]) for each in (first, second))
    means = {side: 0.5 * (one[side] + two[side]) for side in one}
    for side, expected in means.items():
        found = array(state[side])[0]
        blocks = in_tiles(expected, found.shape[:2])
        for k, tile in enumerate(found):
            part = slice(k * tile.shape[0], (k + 1) * tile.shape[0])
            np.testing.assert_allclose(tile, blocks[part, part], atol=1e-5)
    found = direction(layout, state, momentum)[0]
    expected = transcribed(layout, means, array(momentum)[0])
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def test_kronecker_keeps_the_filling_zero():
    layout = Layout(1, 1, WIDEST + 1, 7, False)
    state = refreshed(layout, zeros(layout, kronecker), random(layout))
    found = direction(layout, state, random(layout))
    assert found.shape == (1, 1, WIDEST + 2, 7)
    assert np.abs(found[:, :, -1]).max() < 1e-6 < np.abs(found[:, :, :-1]).min()


def test_kronecker_of_many_is_that_of_each():
    many = Layout(3, 4, 3, 6, True)
    one = Layout(1, 4, 3, 6, True)
    gradient, momentum = random(many), random(many)
    state = refreshed(many, zeros(many, kronecker), gradient)
    together = direction(many, state, momentum)
    for i in range(3):
        state = refreshed(one, zeros(one, kronecker), gradient[i : i + 1])
        alone = direction(one, state, momentum[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=2e-3)


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
def test_kronecker_knows_no_scale(scale):
    gradient, momentum = random(DENSE), random(DENSE)
    directions = []
    for factor in (1.0, scale):
        state = refreshed(DENSE, zeros(DENSE, kronecker), gradient * factor)
        directions.append(direction(DENSE, state, momentum * factor))
    np.testing.assert_allclose(*directions, atol=5e-3)


def test_kronecker_of_zero_gradients_is_finite():
    nothing = ops.zeros(DENSE.shape)
    state = refreshed(DENSE, zeros(DENSE, kronecker), nothing)
    assert not direction(DENSE, state, nothing).any()


def test_state_shapes():
    dense = kronecker.init(Layout(2, 1, 7, 5, True))
    assert dense == {
        "inputs": (2, 1, 8, 8),
        "inputs_root": (2, 1, 8, 8),
        "outputs": (2, 1, 5, 5),
        "outputs_root": (2, 1, 5, 5),
    }
    conv = kronecker.init(Layout(1, 9, 2 * WIDEST + 1, 5, False))
    assert conv["sites"] == conv["sites_root"] == (1, 1, 9, 9)
    wide = -(-(2 * WIDEST + 1) // 3)
    assert conv["inputs"] == (1, 3, wide, wide)
    assert spectral.init(DENSE) == frobenius.init(DENSE) == {}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_spectral(layout):
    momentum = random(layout)
    j = array(momentum)[0]
    u, _, v = np.linalg.svd(j.reshape(-1, j.shape[-1]), full_matrices=False)
    found = direction(layout, {}, momentum, spectral).reshape(-1, j.shape[-1])
    along = np.diag(u.T @ found @ v.T)[: min(layout.outputs, found.shape[0])]
    assert 0.65 < along.min() and along.max() < 1.25
    assert spectral.refresh([layout], [{}], [momentum], 0.5) == [{}]


def test_frobenius():
    momentum = random(DENSE)
    assert frobenius.direction(DENSE, {}, momentum) is momentum
    assert frobenius.refresh([DENSE], [{}], [momentum], 0.5) == [{}]


def test_get():
    for name, geometry in geometries.NAMES.items():
        assert geometries.get(name) is geometry
    for wrong in ("auto", None, 3):
        with pytest.raises(ValueError, match="geometry"):
            geometries.get(wrong)
