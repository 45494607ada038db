"""Step and compile time against depth: stacks lifted all at once, and backprop.

    python lab/depth.py                       # TensorFlow, XLA
    KERAS_BACKEND=jax python lab/depth.py     # JAX

The same network of equal residual blocks three times: as Dense layers trained by
backprop (unrolled), as a ProximalStack trained by backprop (scanned), and that
lifted. Every round trains one epoch of each in turn.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import keras
import numpy as np
from methods import in_rounds
from report import write_report
from timing import alternate
from timing import compile_seconds

import keras_lifted as kl

UNROLLED, SCANNED = "backprop, unrolled", "backprop, scanned"
SWEEP, ROUNDS = "lifted sweep", "lifted, as many rounds as it takes"
CLASSES = 10


def network(kind: str, width: int, depth: int, skips: bool) -> tuple[Any, Any]:
    """Inputs and outputs; branches shrink with the depth."""
    initializer = keras.initializers.VarianceScaling(1.0 / depth, "fan_avg", "uniform")
    arguments = {"kernel_initializer": initializer}
    inputs = keras.Input((width,))
    h = inputs
    if kind == UNROLLED:
        for _ in range(depth):
            after = keras.layers.Dense(width, "relu", **arguments)(h)
            h = keras.layers.Add()([h, after]) if skips else after
    else:
        layer = kl.layers.ProximalStack(width, depth, "relu", skips, **arguments)
        h = layer(h)
    return inputs, keras.layers.Dense(CLASSES)(h)


def build(kind: str, depth: int, options: argparse.Namespace) -> keras.Model:
    """A compiled model; `kind` is backprop's or `lifted FORWARD+BACKWARD`."""
    keras.utils.set_random_seed(0)
    ends = network(kind, options.width, depth, options.skips)
    return compiled(kind, *ends, options.optimizer)


def compiled(kind: str, inputs: Any, outputs: Any, optimizer: str) -> keras.Model:
    """The model of these ends, compiled to train as `kind` says."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    how: Any = optimizer
    if kind in (UNROLLED, SCANNED):
        model = keras.Model(inputs, outputs)
    else:
        update = kl.updates.Sweep()
        if kind != SWEEP:
            update = in_rounds("rounds" if kind == ROUNDS else kind.split()[1])
        model = kl.LiftedModel(inputs, outputs)
        how = kl.optimizers.BlockCoordinateDescent(optimizer, lifted_update=update)
    model.compile(optimizer=how, loss=loss, metrics=["accuracy"], jit_compile=True)
    return model


def table(results: dict[str, Any]) -> str:
    """Markdown: medians, and medians of the ratios in the same round."""
    lines = [
        "| depth | training | ms / step | / unrolled | / scanned | first step, s |",
        "|---|---|---|---|---|---|",
    ]
    for depth, rows in results.items():
        for name, row in rows.items():
            ratios = (
                f"{row[key]:.2f}" if key in row else "" for key in (UNROLLED, SCANNED)
            )
            lines.append(
                f"| {depth} | {name} | {row['ms_per_step']:.2f} | {' | '.join(ratios)} "
                f"| {row['compile_seconds']:.2f} |"
            )
    return "\n".join(lines)


def measure(depth: int, options: argparse.Namespace) -> dict[str, Any]:
    """One row for each kind of training."""
    rng = np.random.default_rng(0)
    n = options.batch * options.steps
    x = rng.normal(size=(n, options.width)).astype("float32")
    y = rng.integers(0, CLASSES, n)
    kinds = [each for each in options.kinds.split(";") if each]
    if depth > options.unrolled_up_to:
        kinds = [each for each in kinds if each != UNROLLED]
    models = {kind: build(kind, depth, options) for kind in kinds}
    first = {
        kind: compile_seconds(model, x, y, options.batch)
        for kind, model in models.items()
    }
    alternate(models, x, y, options.batch, 1)
    times = alternate(models, x, y, options.batch, options.rounds)
    rows: dict[str, Any] = {}
    for kind, seconds in times.items():
        rows[kind] = {
            "ms_per_step": float(np.median(seconds) * 1e3),
            "compile_seconds": first[kind],
        }
        for other in (UNROLLED, SCANNED):
            if other in times:
                rows[kind][other] = float(np.median(seconds / times[other]))
    return rows


def by_depth(
    options: argparse.Namespace,
    script: str,
    measure: Callable[[int, argparse.Namespace], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> None:
    """Measure each of `options.depths`; print its table and write the report."""
    results = {}
    for text in options.depths.split(","):
        results[text] = measure(int(text), options)
        print(table({text: results[text]}), flush=True)
        write_report(options, script, results)
        keras.backend.clear_session()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", default="4,16,64,256")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument(
        "--kinds",
        default=f"{UNROLLED};{SCANNED};{SWEEP};lifted 4+2;lifted 2+1;lifted 1+1",
    )
    parser.add_argument("--unrolled-up-to", type=int, default=256)
    parser.add_argument("--no-skips", dest="skips", action="store_false")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", default="")
    by_depth(parser.parse_args(), "depth.py", measure, table)


if __name__ == "__main__":
    main()
