"""Settings of every test: quiet TensorFlow, fixed seeds, no display."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")

import keras
import pytest
from hypothesis import settings

settings.register_profile("keras_lifted", deadline=None)
settings.load_profile("keras_lifted")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
