"""Training on several devices is training on one."""

import importlib.util
import json
import os
import pathlib
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

HERE = pathlib.Path(__file__).resolve().parent
pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts backends of its own"
)


def start(script, *arguments, **environment):
    """A script that runs by itself."""
    path = os.pathsep.join(
        filter(None, [str(HERE.parents[1]), os.getenv("PYTHONPATH")])
    )
    return subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def report(process):
    """What a script printed, read as JSON."""
    try:
        output, errors = process.communicate(timeout=600)
    finally:
        process.kill()
    assert process.returncode == 0, errors[-4000:]
    return json.loads(output.splitlines()[-1])


needs_jax = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="needs JAX"
)


@pytest.mark.slow
@needs_jax
def test_data_and_layers_over_eight_devices():
    flags = "--xla_force_host_platform_device_count=8"
    cases = report(start("parallel_jax.py", KERAS_BACKEND="jax", XLA_FLAGS=flags))
    assert cases.pop("devices") == 8
    for name, case in cases.items():
        assert case["weights"] < 1e-4 and case["loss"] < 1e-5, name
        assert case["moved"] > 1e-3, name
        if name.startswith("layer"):
            # The kernel and both moments of Adam: a layer on each device.
            assert [shape for _, shape in case["shards"]] == [[1, 16, 16]] * 3, name


@pytest.mark.slow
def test_mirrored_strategy():
    for name, case in report(start("parallel_tensorflow.py")).items():
        assert case["replicas"] == 2
        # Estimates from random samples differ: each replica draws its own.
        assert case["weights"] < (1e-5 if name == "sweep" else 0.02), name
        assert case["loss"] < 1e-2 * case["moved"] + 1e-3, name
        assert case["moved"] > 1e-3, name


@pytest.mark.slow
@needs_jax
def test_two_processes_are_one():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = "two_processes_jax.py"
    both = [start(script, port, i, KERAS_BACKEND="jax") for i in range(2)]
    results = [report(process) for process in both]
    alone = report(start(script, KERAS_BACKEND="jax"))
    for result in results:
        np.testing.assert_allclose(result["loss"], alone["loss"], rtol=1e-5)
        for one, other in zip(result["weights"], alone["weights"], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
