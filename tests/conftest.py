"""Settings of every test: quiet TensorFlow, fixed seeds, no display; samples of tests.

With `--one-in N` a run takes one case in N, others every day: each once in N days. With
`--each` it takes at least one case of every test. The header shows `TEST_DAY`, which
repeats the sample of another day.
"""

import datetime
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# Compilation takes most of the time of tests; `make test-all` optimizes fully.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

# In the environment, so that all processes of a run that passes midnight agree.
os.environ.setdefault("TEST_DAY", str(datetime.date.today().toordinal()))

import keras
import pytest
from hypothesis import settings

settings.register_profile("keras_lifted", deadline=None)
settings.load_profile("keras_lifted")


def pytest_addoption(parser):
    parser.addoption("--one-in", type=int, default=1, help="run one case in so many")
    parser.addoption("--each", action="store_true", help="run a case of every test")


def pytest_report_header(config):
    return f"TEST_DAY={os.environ['TEST_DAY']}, one case in {config.option.one_in}"


@pytest.hookimpl(trylast=True)  # after slow tests are left out
def pytest_collection_modifyitems(config, items):
    """Keep the sample of the day."""
    every, day = config.option.one_in, int(os.environ["TEST_DAY"])
    tests = {}
    for place, item in enumerate(items):
        name = item.nodeid.partition("[")[0]
        tests.setdefault(name, []).append((place, item))
    kept = set()
    for cases in tests.values():
        today = [item for place, item in cases if (place + day) % every == 0]
        if not today and config.option.each:
            today = [cases[day % len(cases)][1]]
        kept.update(today)
    config.hook.pytest_deselected(items=[each for each in items if each not in kept])
    items[:] = [each for each in items if each in kept]


def pytest_configure(config):
    """Let Keras 3.8 warn of models whose one input is in a list, as its own do."""
    if keras.version().startswith("3.8."):
        config.addinivalue_line("filterwarnings", "ignore:The structure of `inputs`")


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(0)
