"""Steps that are repeated until they change little."""

import numpy as np
import pytest
from keras import ops

from keras_lifted import backend
from keras_lifted.lifting.stacked import repeated

START = np.array([[4.0, 3.0]], "float32")


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize(
    ("most", "tolerance", "steps"),
    [
        (0, None, 0),
        (0, 0.5, 0),
        (5, None, 5),
        (5, 0.5, 5),  # a halving changes by all that is left
        (5, 1.0, 1),
        (9, 2.0, 1),
    ],
)
def test_number_of_halvings(traced, most, tolerance, steps):
    def run(start):
        return repeated(lambda value: value / 2, start, most, tolerance)

    found = (backend.compiled(run) if traced else run)(ops.convert_to_tensor(START))
    np.testing.assert_allclose(ops.convert_to_numpy(found), START * 0.5**steps)


def test_stops_at_a_fixed_point():
    """Newton's steps towards the root of 2 of each entry double its digits."""
    taken = []

    def newton(value):
        taken.append(1)
        return 0.5 * (value + 2.0 / value)

    found = repeated(newton, ops.convert_to_tensor(START), 100, 1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(found), 2**0.5, rtol=1e-6)
    assert 4 <= len(taken) <= 7
