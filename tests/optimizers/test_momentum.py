"""The running mean of gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_lifted.geometries.momentum import average
from keras_lifted.geometries.momentum import keep_at
from keras_lifted.geometries.momentum import recent


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


@pytest.mark.parametrize(
    "signal, part, steps",
    [
        (0.2, 0.1, 20.0),  # noise: all
        (0.95, 1.0, 20.0),  # a plateau: all
        (0.7, 0.1, 12.0),
        (0.95, 0.4, 8.0),
        (1.0, 0.0, 5.0),
        (None, 1.0, 5.0),  # unknown
    ],
)
def test_means_are_shorter_where_there_is_little_noise(signal, part, steps):
    if signal is not None:
        signal = ops.convert_to_tensor(signal, "float32")
    part = ops.convert_to_tensor(part, "float32")
    keep = recent(ops.convert_to_tensor(0.95, "float32"), 0.95, signal, part)
    assert 1.0 / (1.0 - float(keep)) == pytest.approx(steps, rel=1e-3)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
def test_a_shorter_mean_never_keeps_more(momentum):
    zero, one = (ops.convert_to_tensor(value, "float32") for value in (0.0, 1.0))
    for step in range(30):
        keep = keep_at(step, momentum)
        kept = float(recent(keep, momentum, one, zero))
        assert kept == pytest.approx(min(float(keep), 0.8))
        assert float(recent(keep, momentum, zero, zero)) == pytest.approx(float(keep))
