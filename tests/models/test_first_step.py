"""A note where the first step takes long."""

import time

import keras
import numpy as np
import pytest

import keras_lifted as kl
from keras_lifted.models import training
from keras_lifted.models.watch import FirstStepNote


@pytest.mark.parametrize(
    ("after", "verbose", "said"), [(0.0, 2, 1), (0.0, 0, 0), (60.0, 2, 0)]
)
def test_a_note_on_a_slow_first_step(monkeypatch, capsys, after, verbose, said):
    monkeypatch.setattr(training, "FirstStepNote", lambda: FirstStepNote(after))
    inputs = keras.Input((2,))
    model = kl.LiftedModel(inputs, keras.layers.Dense(1, "relu")(inputs))
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=verbose)
    time.sleep(0.1)
    assert capsys.readouterr().out.count("is being compiled") == said
