"""The running mean of gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_lifted.geometries.momentum import average
from keras_lifted.geometries.momentum import keep_at


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
def test_means_are_of_all_gradients_and_look_one_step_ahead(momentum):
    values = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    variable = keras.Variable(np.full(3, 7.0, "float32"))  # forgotten at once
    weights = np.zeros(0)
    for step, value in enumerate(values):
        keep = float(keep_at(step, momentum))
        weights = np.append(keep * weights, 1.0 - keep)
        ahead = average(variable, ops.convert_to_tensor(value), keep_at(step, momentum))
        mean = weights @ values[: step + 1]
        assert weights.sum() == pytest.approx(1.0)
        assert np.allclose(ops.convert_to_numpy(variable), mean, atol=1e-5)
        expected = keep * mean + (1.0 - keep) * value
        assert np.allclose(ops.convert_to_numpy(ahead), expected, atol=1e-5)
    assert keep == pytest.approx(momentum)
