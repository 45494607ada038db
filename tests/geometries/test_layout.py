"""Kernels and biases in one tensor, and matrices in few batches."""

import numpy as np
import pytest
from keras import ops

from keras_lifted.geometries.kronecker import in_batches
from keras_lifted.geometries.layout import WIDEST, Layout

RNG = np.random.default_rng(0)
LAYOUTS = [
    Layout(count, sites, inputs, outputs, biased)
    for count, sites in ((1, 1), (3, 9))
    for inputs, outputs in ((1, 5), (7, 1), (WIDEST, WIDEST + 1), (2 * WIDEST + 1, 3))
    for biased in (True, False)
]


def array(tensor):
    return ops.convert_to_numpy(tensor)


def random(*shape):
    return RNG.normal(size=shape).astype("float32")


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_split_is_the_inverse_of_join(layout):
    kernels = random(layout.count, layout.sites, layout.inputs, layout.outputs)
    biases = random(layout.count, layout.outputs) if layout.biased else None
    joined = layout.join(ops.convert_to_tensor(kernels), biases)
    assert tuple(joined.shape) == layout.shape
    found, found_biases = layout.split(joined)
    np.testing.assert_array_equal(array(found), kernels)
    if layout.biased:
        np.testing.assert_array_equal(array(found_biases), biases)
    else:
        assert found_biases is None
    # Nothing else lies in it.
    total = np.square(kernels).sum() + (
        0 if biases is None else np.square(biases).sum()
    )
    np.testing.assert_allclose(np.square(array(joined)).sum(), total, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_tiles_cover_their_side_and_are_equally_wide(layout):
    sides = layout.inputs + layout.biased, layout.outputs
    for side, (many, wide) in zip(sides, (layout.rows, layout.columns)):
        assert wide <= WIDEST
        assert side <= many * wide < side + many
        assert many == int(np.ceil(side / WIDEST))


def test_in_batches_is_one_call_for_similar_sizes():
    shapes = [(1, 2, 5, 5), (3, 1, 40, 40), (2, 30, 30), (100, 100), (1, 1, 32, 32)]
    matrices = [ops.convert_to_tensor(random(*shape)) for shape in shapes]
    seen = []

    def squared(a):
        seen.append(tuple(a.shape))
        return ops.matmul(a, a)

    for found, matrix in zip(in_batches(squared, matrices), matrices, strict=True):
        assert tuple(found.shape) == tuple(matrix.shape)
        expected = array(ops.matmul(matrix, matrix))
        np.testing.assert_allclose(array(found), expected, rtol=1e-4, atol=1e-4)
    assert seen == [(1, 100, 100), (6, 40, 40), (2, 5, 5)]


def test_in_batches_of_nothing():
    assert in_batches(lambda a: a, []) == []
