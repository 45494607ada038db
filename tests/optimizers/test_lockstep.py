"""Runs of several blocks, side by side."""

import numpy as np
import pytest
from keras import ops

from keras_lifted.backend import compiled
from keras_lifted.geometries import lockstep as module
from keras_lifted.geometries.lockstep import Anew
from keras_lifted.geometries.lockstep import lockstep


def squares(due, start, times):
    """`start` squared so many times, wherever that is due."""
    value = start
    for _ in range(times):
        old = value
        value = yield Anew(due, lambda old=old: ops.square(old), old)
    return value


@pytest.mark.parametrize(
    ("due", "expected"), [(True, [81.0, 2.0, 25.0]), (False, None)]
)
@pytest.mark.parametrize("traced", [True, False])
def test_runs_of_different_lengths(due, expected, traced):
    starts = ops.convert_to_tensor([3.0, 2.0, 5.0])

    def results(due, starts):
        runs = [squares(due, starts[i], n) for i, n in enumerate((2, 0, 1))]
        return ops.stack(lockstep(runs))

    function = compiled(results) if traced else results
    value = function(ops.convert_to_tensor(due), starts)
    expected = [3.0, 2.0, 5.0] if expected is None else expected
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected)


def test_one_branch_for_what_is_due_at_the_same_time(monkeypatch):
    branches = []

    def counted(due, yes, no):
        branches.append(len(no()))
        return yes()

    monkeypatch.setattr(module, "cond", counted)
    one, other = ops.convert_to_tensor(True), ops.convert_to_tensor(True)
    two = ops.convert_to_tensor(2.0)
    runs = [squares(one, two, 3), squares(one, two, 2), squares(other, two, 1)]
    assert [float(value) for value in lockstep(runs)] == [256.0, 16.0, 4.0]
    assert branches == [2, 1, 2, 1]


def test_structures_and_errors():
    def run():
        new = yield Anew(ops.convert_to_tensor(True), lambda: {"a": ops.ones(2)}, {})
        raise KeyError(sorted(new))

    with pytest.raises(KeyError, match="a"):
        lockstep([run()])
    assert lockstep([]) == []
