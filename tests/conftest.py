"""Settings of every test: quiet TensorFlow, fixed seeds, no display."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# Compilation takes most of the time of tests; `make test-all` optimizes fully.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import keras
import pytest
from hypothesis import settings

settings.register_profile("keras_lifted", deadline=None)
settings.load_profile("keras_lifted")


def pytest_configure(config):
    """Let Keras 3.8 warn of models whose one input is in a list, as its own do."""
    if keras.version().startswith("3.8."):
        config.addinivalue_line("filterwarnings", "ignore:The structure of `inputs`")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
