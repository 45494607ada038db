"""What a result shows of itself, and the names that `invert` still takes."""

import copy
import pickle

import numpy as np
import pytest
from keras import layers

import keras_lifted as kl

R = kl.regularizers


@pytest.fixture(scope="module")
def result():
    layer = layers.Dense(50, kernel_initializer="ones")
    layer.build((None, 64))
    return kl.invert(layer, np.ones((40, 50), "float32"), R.L1(), verbose=0)


def test_it_prints_a_line(result):
    shown = repr(result)
    assert len(shown) < 400 and "array" not in shown
    assert "(40, 64)" in shown and "40 of 40" in shown and "'convex'" in shown


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))]
)
def test_it_is_copied(result, copied):
    again = copied(result)
    np.testing.assert_array_equal(again.x, result.x)
    assert type(again.converged) is type(result.converged) and again.converged
    assert result == result and result != again and hash(result)


def test_a_line_at_each_check(capsys):
    layer = layers.Dense(3)
    layer.build((None, 4))
    y, keywords = np.ones((2, 3)), {"max_steps": 120, "tolerance": 0}
    for verbose in (0, 1, 2):
        found = kl.invert(layer, y, R.L1(), verbose=verbose, **keywords)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == (len(found.history["iteration"]) if verbose == 2 else 0)
    assert len(lines) > 1


def test_earlier_names_and_swapped_arguments():
    layer = layers.Dense(3, kernel_initializer="identity")
    layer.build((None, 3))
    y = np.ones((1, 3), "float32")
    new = kl.invert(
        layer, y, R.L1(), noise_std=0.1, alpha_rule="discrepancy", max_steps=40
    )
    old = kl.invert(
        layer, y, R.L1(), noise=0.1, parameter="discrepancy", steps=40, start=0 * y
    )
    np.testing.assert_array_equal(new.x, old.x)
    inverter = kl.inversion.Inverter(layer, R.L1())
    assert inverter(y, steps=40, noise=0.1, parameter="discrepancy").alpha == new.alpha
    with pytest.raises(TypeError, match="unexpected keyword argument 'stepz'"):
        kl.invert(layer, y, R.L1(), stepz=3)
    with pytest.raises(ValueError, match="come before `y`") as error:
        kl.invert(np.ones((100, 50)), layer, R.L1())
    assert len(str(error.value)) <= 600
