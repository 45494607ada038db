"""Keras's own settings of an optimizer, with SteepestDescent."""

import keras
import numpy as np
import pytest
from small import (
    JAX,
    KINDS,
    QUICK,
    RATE,
    X,
    Y,
    assert_same,
    descent,
    fit,
    network,
    trained,
    weights,
)

from keras_lifted import geometries

Optimizers = keras.optimizers
GEOMETRIES = tuple(geometries.NAMES)


# -- Keras's settings ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm", "clipvalue"])
def test_clipping_that_clips_nothing(kind, clip):
    one, other = (trained(descent(**kw), kind, 2) for kw in ({}, {clip: 1e9}))
    assert_same(one, other)


def test_clipping_that_clips():
    """A shorter gradient shortens nothing, but clipped entries turn the step."""
    free = {"max_relative_decrease": 1e5, "fallback": "sgd"}
    one, short, turned = (
        trained(descent(**free, **kw))
        for kw in ({}, {"global_clipnorm": 1e-3}, {"clipvalue": 1e-3})
    )
    one, short, turned = (weights(model) for model in (one, short, turned))
    np.testing.assert_allclose(short["out/kernel"], one["out/kernel"], atol=1e-5)
    assert np.abs(turned["out/kernel"] - one["out/kernel"]).max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_two_halves_are_a_whole_batch(kind):
    # Bounded by its last half, a step would be of another length.
    free = {"max_relative_decrease": 1e5, "fallback": "sgd"}
    whole, halves = network(kind), network(kind)
    whole.compile(descent(**free), "mse", **QUICK)
    halves.compile(descent(gradient_accumulation_steps=2, **free), "mse", **QUICK)
    fit(whole, 2, 16)
    fit(halves, 4, 8)
    # A lifted model's penalty weight is chosen by batch.
    assert_same(whole, halves, atol=1e-5 if kind is keras.Model else 1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_decay(kind):
    start = weights(network(kind))
    plain = weights(trained(descent(), kind))
    optimizer = descent(weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    decayed = weights(trained(optimizer, kind))  # the fallback moves the others
    for path, value in start.items():
        part = 0.0 if "bias" in path or "norm" in path else RATE * 0.1
        expected = plain[path] - part * value
        np.testing.assert_allclose(decayed[path], expected, atol=1e-6)


class Record(keras.callbacks.Callback):
    """Weights after every epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        if JAX:
            self.model.jax_state_sync()
        self.weights.append(self.model.get_weights())


@pytest.mark.parametrize("kind", KINDS)
def test_moving_averages(kind):
    record = Record()
    trained(descent(), kind, epochs=3, callbacks=[record])
    first, second, third = record.weights
    averaged = trained(descent(use_ema=True, ema_momentum=0.5), kind, epochs=3)
    for a, b, c, found in zip(first, second, third, averaged.get_weights()):
        expected = 0.5 * (0.5 * a + 0.5 * b) + 0.5 * c
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_swapping_moving_averages():
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    record = Record()
    optimizer = descent(use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=None)
    model = network()
    model.compile(optimizer, "mse", **QUICK)
    history = fit(
        model, epochs=3, callbacks=[record, swap], validation_data=(X[8:], Y[8:])
    )
    assert np.isfinite(history.history["val_loss"]).all()
    first, second, _ = record.weights
    plain = Record()
    trained(descent(), epochs=3, callbacks=[plain])
    for a, b in zip(first, plain.weights[0]):
        np.testing.assert_allclose(a, b, atol=1e-6)
