"""Keeps results: one line of JSON a run."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from typing import Any

import keras

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNS = ROOT / "benchmarks" / "results" / "runs.jsonl"
Record = dict[str, Any]


@functools.cache
def commit() -> str:
    """Return the commit of library and benchmarks, with "-dirty" where it differs."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    changes = git(
        "status", "--porcelain", "--", "keras_lifted", "benchmarks", ":!*.jsonl"
    )
    return git("rev-parse", "HEAD") + ("-dirty" if changes else "")


@functools.cache
def device() -> str:
    """Return what the backend's first device is, "cpu" where it is one."""
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "cpu"
    return str(tf.config.experimental.get_device_details(gpus[0])["device_name"])


def cores() -> int:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def context() -> Record:
    """Return what a result depends on besides its configuration."""
    backend = keras.backend.backend()
    return {
        "commit": commit(),
        "backend": backend,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("keras", backend)},
        },
        "device": device(),
        "cores": cores(),
    }


def append(record: Record, path: pathlib.Path = RUNS) -> None:
    """Add a record, with its context, as the last line of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({**record, **context()}) + "\n")


def load(path: pathlib.Path = RUNS) -> list[Record]:
    """Return all records of a file, none where it does not exist."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def find(records: list[Record], config: Record, ours: bool) -> Record | None:
    """Return the last record of a configuration that still stands.

    A baseline's stands on the same backend and device; one of this library also
    needs the same commit, without changes.
    """
    here = context()
    keys = ["backend", "device", *(["commit"] if ours else [])]
    if ours and here["commit"].endswith("-dirty"):
        return None
    for record in reversed(records):
        if record["config"] == config and all(record[k] == here[k] for k in keys):
            return record
    return None
