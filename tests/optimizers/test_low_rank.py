"""Inverse roots of low rank: close, quick to apply, and taken where they whiten."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_lifted as kl
from keras_lifted.geometries import factors
from keras_lifted.geometries import low_rank
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.low_rank import LowRank
from keras_lifted.geometries.low_rank import applied
from keras_lifted.geometries.low_rank import rank_of
from keras_lifted.geometries.low_rank import whole
from keras_lifted.geometries.refresh import Due
from keras_lifted.geometries.renewal import renewed
from keras_lifted.geometries.whiteness import whitens

N = 256
RANK = rank_of(N)


def array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor), np.float64)


def covariance(power, seed=0, n=N):
    """Of eigenvalues `k^(−power)`, their mean 1, as a tensor `(1, n, n)`."""
    q = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]
    values = np.arange(1, n + 1.0) ** -power
    values /= values.mean()
    return ops.convert_to_tensor(((q * values) @ q.T)[None], "float32")


def found(matrix, damping, basis=None):
    basis = ops.zeros((1, N, RANK)) if basis is None else basis
    return low_rank.low_rank(matrix, damping, basis)


def spread(root, matrix, damping):
    """Standard deviation over mean of the eigenvalues of `R (A + damping·I) R`."""
    root = array(root)[0]
    values = np.linalg.eigvalsh(root @ (array(matrix)[0] + damping * np.eye(N)) @ root)
    return values.std() / values.mean()


def held(back=True):
    """The state of a root before the first one."""
    state = {
        "root": ops.zeros((1, N, N)),
        "basis": ops.zeros((1, N, RANK)),
        "low": ops.zeros((1, N, RANK)),
        "rest": ops.zeros((1, 1, 1)),
    }
    return {**state, "back": ops.zeros((1, N, N))} if back else state


def renew(state, matrix, damping, rows=100_000, batches=20):
    return renewed(state, matrix, damping, rows, ops.convert_to_tensor(batches * 1.0))


@pytest.mark.parametrize("power, damping", [(1.5, 1.0), (2.0, 0.3), (3.0, 0.05)])
def test_low_rank_whitens_as_well_as_the_best_of_its_rank(power, damping):
    matrix = covariance(power)
    low = found(matrix, damping)
    root = whole(low.rest, low.root, low.basis)
    rest = np.linalg.eigvalsh(array(matrix)[0])[: N - RANK] + damping
    best = np.concatenate([np.ones(RANK), rest / rest.mean()]).std()
    assert best < spread(root, matrix, damping) < best + 0.04
    assert spread(root, matrix, damping) < 0.2


def test_what_undoes_a_root_of_low_rank():
    low = found(covariance(1.5), 1.0)
    root = array(whole(low.rest, low.root, low.basis))[0]
    back = array(whole(1.0 / low.rest, low.back, low.basis))[0]
    assert np.allclose(root @ back, np.eye(N), atol=0.02)


def test_a_root_of_low_rank_is_applied_as_a_whole_one():
    low = found(covariance(1.5), 1.0)
    rows = ops.convert_to_tensor(
        np.random.default_rng(1).normal(size=(1, N, 5)), "float32"
    )
    one = ops.matmul(whole(low.rest, low.root, low.basis), rows)
    two = applied(low.rest, low.root, low.basis, rows)
    assert np.allclose(array(one), array(two), atol=1e-4)


def test_the_basis_of_an_earlier_matrix_helps():
    matrix, other = covariance(1.0), covariance(1.0, seed=1)
    fresh = found(matrix, 0.1)
    bases = (fresh.basis, found(other, 0.1).basis)
    again, foreign = (found(matrix, 0.1, basis) for basis in bases)
    roots = (whole(low.rest, low.root, low.basis) for low in (fresh, again, foreign))
    one, two, three = (spread(root, matrix, 0.1) for root in roots)
    assert two < one and two < three


def test_narrow_matrices_have_no_basis():
    assert rank_of(255) == 0 and rank_of(256) == 32 and rank_of(784) == 98
    shapes = kl.geometries.Kronecker().shapes
    assert "left_basis" not in shapes(255, 10)
    assert shapes(784, 10)["left_basis"] == (1, 784, 98)
    assert shapes(2000, 10, samples=False)["left_low"] == (2, 1000, 125)


@pytest.mark.parametrize(
    "power, rows, batches, thin",
    [
        (1.5, 100_000, 20, True),  # few eigenvalues stand out of the damping
        (0.7, 100_000, 20, False),  # many do
        (0.7, 100_000, 19, True),  # in the first steps
        (0.7, 15, 20, True),  # few samples would not tell these
    ],
)
def test_low_rank_is_taken_where_it_whitens(power, rows, batches, thin):
    matrix, damping = covariance(power), 0.02 if power < 1 else 1.0
    new = renew(held(), matrix, damping, rows, batches)
    assert (float(new["rest"][0, 0, 0]) > 0) is thin
    if thin:
        low = LowRank(new["basis"], new["low"], None, new["rest"])
        root = whole(low.rest, low.root, low.basis)
        assert np.allclose(array(root), array(new["root"]), atol=1e-5)
    assert np.allclose(array(new["root"] @ new["back"])[0], np.eye(N), atol=0.05)
    limit = max(0.2, (N / rows / batches) ** 0.5)
    assert batches < 20 or spread(new["root"], matrix, damping) < 1.1 * limit


def test_a_root_that_serves_is_kept_and_others_are_not():
    matrix = covariance(1.5)
    first = renew(held(), matrix, 1.0)
    again = renew(first, matrix, 1.0)
    assert all(np.array_equal(array(first[key]), array(again[key])) for key in first)
    new = renew(first, covariance(1.5, seed=1), 1.0)
    assert whitens(new["root"], covariance(1.5, seed=1), 1.0)
    assert not np.array_equal(array(first["root"]), array(new["root"]))


def test_a_whole_root_gives_way_to_one_of_low_rank():
    whole_one = renew(held(back=False), covariance(0.7), 0.02)
    assert float(whole_one["rest"][0, 0, 0]) == 0 and "back" not in whole_one
    new = renew(whole_one, covariance(1.5), 1.0)
    assert float(new["rest"][0, 0, 0]) > 0


def test_no_samples_give_identities_and_bad_moments_change_nothing():
    matrix = covariance(1.5)
    none = renew(held(), matrix, 1.0, batches=0)
    assert np.array_equal(array(none["root"])[0], np.eye(N))
    first = renew(none, matrix, 1.0)
    bad = renew(first, matrix * np.nan, 1.0)
    assert np.array_equal(array(bad["root"]), array(first["root"]))
    assert np.array_equal(array(bad["back"]), array(first["back"]))


def test_a_geometry_moves_the_same_way_by_either_root(monkeypatch):
    n, m, rng = 300, 6, np.random.default_rng(0)
    part = (ops.convert_to_tensor(rng.normal(size=s), "float32") for s in ((n, m), m))
    slope, bias = part
    zero = ops.zeros(())
    rows = ops.zeros((2, n))
    true = ops.convert_to_tensor(True)
    due = Due(true, true, 4)
    step = Step(slope, bias, rows[0], rows, zero, zero + 0.1, zero + 1, zero, due)
    geometry, gram = kl.geometries.Kronecker(), covariance(1.5, n=n)
    state = {key: ops.zeros(shape) for key, shape in geometry.shapes(n, m).items()}
    state = geometry.displace(state, step, gram).state
    moved = []
    for whole_one in (False, True):
        monkeypatch.setattr(factors, "accelerated", lambda one=whole_one: one)
        moved.append(geometry.displace(state, step, gram))
    assert float(moved[0].state["left_rest"][0, 0, 0]) > 0
    one, two = (array(each.joint) for each in moved)
    assert np.allclose(one, two, atol=1e-4 * np.abs(one).max())
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("xla", [True, False])
def test_wide_layers_train_with_batches_of_any_size(xla):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 8)) @ rng.normal(size=(8, 300)) + rng.normal(size=300)
    y = np.argmax(x[:, :3], axis=1)
    inputs = keras.Input((300,))
    h = kl.layers.ReLU()(keras.layers.Dense(12, name="wide")(inputs))
    model = kl.LiftedModel(inputs, keras.layers.Dense(3)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = kl.optimizers.ISGM()
    model.compile(optimizer, loss, jit_compile=xla)
    losses = model.fit(x, y, batch_size=16, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    (wide,) = (b for b in optimizer.weight_blocks if b.affine.name == "wide")
    assert array(wide.state["left_rest"]).item() > 0
