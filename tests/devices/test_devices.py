"""Training on several devices is training on one."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import pytest

HERE = pathlib.Path(__file__).resolve().parent
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts backends of its own"
)


def report(script, **environment):
    """What a script prints when it runs by itself."""
    path = os.pathsep.join(
        filter(None, [str(HERE.parents[1]), os.getenv("PYTHONPATH")])
    )
    done = subprocess.run(
        [sys.executable, str(HERE / script)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")
def test_data_and_layers_over_eight_devices():
    flags = "--xla_force_host_platform_device_count=8"
    cases = report("parallel_jax.py", KERAS_BACKEND="jax", XLA_FLAGS=flags)
    assert cases.pop("devices") == 8
    for name, case in cases.items():
        assert case["weights"] < 1e-4 and case["loss"] < 1e-5, name
        assert case["moved"] > 1e-3, name
        if name.startswith("layer"):
            # The kernel and both moments of Adam: a layer on each device.
            assert [shape for _, shape in case["shards"]] == [[1, 16, 16]] * 3, name


@pytest.mark.slow
def test_mirrored_strategy():
    for name, case in report("parallel_tensorflow.py").items():
        assert case["replicas"] == 2
        # Estimates from random samples differ: each replica draws its own.
        assert case["weights"] < (1e-5 if name == "sweep" else 0.02), name
        assert case["loss"] < 1e-2 * case["moved"] + 1e-3, name
        assert case["moved"] > 1e-3, name
