"""Writes the figures of a benchmark, with what is needed to make them again."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
import sys
import time
from typing import Any

import keras


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# On one core the time of the processor, in which other jobs have no part.
now = time.process_time if cores() == 1 else time.perf_counter


def device() -> str:
    """What the backend's first device is."""
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return str(tf.config.experimental.get_device_details(gpus[0])["device_name"])


def write_report(options: argparse.Namespace, script: str, results: Any) -> None:
    """Write `results` as JSON to `options.output`, if that is given."""
    if not options.output:
        return
    backend = keras.backend.backend()
    report = {
        "script": script,
        "command": shlex.join(["python", f"lab/{script}", *sys.argv[1:]]),
        "backend": backend,
        "versions": {
            name: importlib.metadata.version(name) for name in ("keras", backend)
        },
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_count": cores(),
        "device": device(),
        "results": results,
    }
    path = pathlib.Path(options.output)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n")
