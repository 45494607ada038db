"""Schedules of baselines, and the search for their rates."""

import keras
import numpy as np
import pytest

from benchmarks import methods, rates


@pytest.mark.parametrize(
    "shape, keras_schedule",
    [
        (
            methods.linear,
            keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.0),
        ),
        (
            methods.one_cycle,
            keras.optimizers.schedules.CosineDecay(
                0.004, 7, warmup_target=0.1, warmup_steps=3
            ),
        ),
    ],
)
def test_schedules_are_those_of_keras(shape, keras_schedule):
    optimizer = keras.optimizers.SGD(1.0)
    schedule = methods.Schedule(optimizer, shape)
    schedule.rate.assign(0.1)
    schedule.steps.assign(10)
    for step in range(12):
        optimizer.iterations.assign(step)
        wanted = float(keras_schedule(step))
        assert float(optimizer.learning_rate) == pytest.approx(wanted, abs=1e-7)


def test_warm_up_starts_above_zero():
    """Schedule-free means divide by the sum of the squared rates so far."""
    shares = [float(methods.warm_up(t)) for t in (0.0, 0.025, 0.05, 1.0)]
    assert shares == pytest.approx([0.1, 0.55, 1.0, 1.0])


def test_rates_lie_on_the_grid():
    assert [rates.grid(i) for i in range(-3, 4)] == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    found = [rates.grid(rates.nearest(r)) for r in (0.001, 0.0021, 4.0)]
    assert found == [0.001, 0.002, 5]


def test_the_search_extends_its_range_and_leaves_failures():
    assert rates.climb(0.001, lambda rate: -abs(np.log(rate / 0.5))) == 0.5
    assert rates.climb(1.0, lambda rate: rate if rate <= 0.02 else -np.inf) == 0.02
    assert rates.climb(1.0, lambda rate: -np.inf) < 1e-3
