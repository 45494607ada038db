"""Test accuracy of a deep residual stack: rounds all at once, sweep, backprop.

    python benchmarks/depth_quality.py --output benchmarks/results/depth_quality.json

784-64, a stack of residual ReLU blocks of width 64 whose branches start small, and 10
classes of Fashion-MNIST; the same seed, data order and optimizer (Keras's Adam,
default rate) for all. Seconds are those of `fit`, first compilation included.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import keras
from data import images
from depth import SCANNED
from depth import SWEEP
from depth import compiled
from report import write_report

import keras_lifted as kl


def build(kind: str, options: argparse.Namespace) -> keras.Model:
    """A compiled model; `kind` as in `depth.py`."""
    keras.utils.set_random_seed(options.seed)
    scale = options.branch / options.depth
    initializer = keras.initializers.VarianceScaling(scale**2, "fan_avg", "uniform")
    inputs = keras.Input((28, 28, 1))
    h = keras.layers.Dense(options.width)(keras.layers.Flatten()(inputs))
    h = kl.layers.ProximalStack(
        options.width,
        options.depth,
        options.activation,
        residual=True,
        kernel_initializer=initializer,
    )(h)
    return compiled(kind, inputs, keras.layers.Dense(10)(h), "adam")


def train(kind: str, options: argparse.Namespace, data: Any) -> dict[str, Any]:
    """Accuracies in per cent and seconds of training, epoch by epoch."""
    (x, y), (x_test, y_test) = data
    model = build(kind, options)
    row: dict[str, Any] = {"accuracy": [], "seconds": []}
    seconds = 0.0
    for _ in range(options.epochs):
        start = time.perf_counter()
        try:
            model.fit(x, y, batch_size=options.batch, verbose=0)
        except ValueError as error:  # the loss is not finite
            row["failed"] = str(error).split(".")[0]
            break
        seconds += time.perf_counter() - start
        logs = model.evaluate(
            x_test, y_test, batch_size=1000, verbose=0, return_dict=True
        )
        row["accuracy"].append(100.0 * logs["accuracy"])
        row["seconds"].append(seconds)
    return row


def table(results: dict[str, Any]) -> str:
    """Markdown: accuracy after each epoch, and seconds to the last one."""
    lines = [
        "| training | test accuracy after each epoch (%) | seconds |",
        "|---|---|---|",
    ]
    for kind, row in results.items():
        each = " / ".join(f"{value:.1f}" for value in row["accuracy"])
        end = row.get("failed") or f"{row['seconds'][-1]:.1f}"
        lines.append(f"| {kind} | {each} | {end} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--branch", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--kinds",
        default=f"{SCANNED};{SWEEP};lifted 8+4;lifted 4+2;lifted 2+2;lifted 2+1",
    )
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    data = images("fashion_mnist")
    results = {}
    for kind in options.kinds.split(";"):
        results[kind] = train(kind, options, data)
        print(table({kind: results[kind]}).splitlines()[-1], flush=True)
    write_report(options, "depth_quality.py", results)


if __name__ == "__main__":
    main()
