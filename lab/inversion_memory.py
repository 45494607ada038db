"""Memory of inverting a batch at once.

    python lab/inversion_memory.py
    KERAS_BACKEND=jax python lab/inversion_memory.py

The encoder of autoencoder.py, not trained, is inverted with total variation for 20
steps, first from one code and then from `--batch` codes at once. What counts is the
largest resident memory of the process: after importing and building, after one image,
which compiles the steps, and after the batch, for which they are compiled again.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import resource
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
from autoencoder import autoencoder
from keras import ops
from report import write_report

import keras_lifted as kl

STAGES = ("building", "one image", "a batch of {batch}")


def peak() -> float:
    """Largest resident memory of this process so far, MiB."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (1024**2 if sys.platform == "darwin" else 1024)


def table(results: dict[str, float]) -> str:
    """Markdown: largest resident memory so far."""
    lines = ["| after | MiB |", "|---|---|"]
    for name in STAGES:
        lines.append(f"| {name.format(**results)} | {results[name]:.0f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    encoder, _ = autoencoder(0)
    images = np.random.default_rng(0).random((options.batch, 28, 28, 1), "float32")
    y = ops.convert_to_numpy(encoder(images))
    found = {STAGES[0]: peak()}
    invert = kl.inversion.Inverter(encoder, kl.regularizers.TotalVariation(1e-3))
    for name, count in zip(STAGES[1:], (1, options.batch), strict=True):
        invert(y[:count], options.steps, tolerance=0, verbose=False)
        found[name] = peak()
    results = {"batch": options.batch} | found
    print(table(results))
    write_report(options, "inversion_memory.py", results)


if __name__ == "__main__":
    main()
