"""Step time of lifted training over backprop's: same model, optimizer, batch.

    python lab/step_cost.py                       # TensorFlow, XLA
    KERAS_BACKEND=jax python lab/step_cost.py     # JAX

Every round trains one epoch of each model in turn; the figures are medians
over rounds of the ratio to backprop in the same round.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import keras
import numpy as np
from report import write_report
from timing import alternate
from timing import compile_seconds

import keras_lifted as kl

UPDATES = {
    "sweep": kl.updates.Sweep,
    "proximal T=3": lambda: kl.updates.ProximalGradient(3),
    "proximal T=20": lambda: kl.updates.ProximalGradient(20),
    "nesterov T=20": lambda: kl.updates.ProximalGradient(20, "nesterov"),
    "mirror T=3": lambda: kl.updates.Mirror(3),
}


def build(update: str | None, widths: list[int], optimizer: str) -> keras.Model:
    """The MLP, trained by backprop (None) or by the named update."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((widths[0],))
    h = inputs
    for width in widths[1:-1]:
        h = keras.layers.Dense(width, activation="relu")(h)
    outputs = keras.layers.Dense(widths[-1])(h)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if update is None:
        model = keras.Model(inputs, outputs)
        model.compile(optimizer=optimizer, loss=loss, jit_compile=True)
        return model
    model = kl.LiftedModel(inputs, outputs)
    model.compile(
        optimizer=kl.optimizers.BlockCoordinateDescent(
            optimizer, lifted_update=UPDATES[update]()
        ),
        loss=loss,
        jit_compile=True,
    )
    return model


def table(results: dict[str, Any]) -> str:
    """Markdown: medians, quartiles of the ratio in brackets."""
    lines = [
        "| update | ms / step | step / backprop step | first step, s |",
        "|---|---|---|---|",
    ]
    for name, row in results.items():
        low, high = row["ratio_quartiles"]
        lines.append(
            f"| {name} | {row['ms_per_step']:.2f} | {row['ratio']:.2f} "
            f"({low:.2f} to {high:.2f}) | {row['compile_seconds']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", default="784,256,256,10")
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--only", default="")
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    widths = [int(w) for w in options.widths.split(",")]
    rng = np.random.default_rng(0)
    n = options.batch * options.steps
    x = rng.normal(size=(n, widths[0])).astype("float32")
    y = rng.integers(0, widths[-1], n)

    names = options.only.split(",") if options.only else list(UPDATES)
    models = {"backprop": build(None, widths, options.optimizer)}
    models |= {name: build(name, widths, options.optimizer) for name in names}
    compiled = {
        name: compile_seconds(model, x, y, options.batch)
        for name, model in models.items()
    }
    alternate(models, x, y, options.batch, 1)
    times = alternate(models, x, y, options.batch, options.rounds)
    rows = {}
    print(f"{'':16s} ms/step   ratio  [quartiles]    compile s")
    for name, seconds in times.items():
        ratio = seconds / times["backprop"]
        low, mid, high = np.percentile(ratio, [25, 50, 75])
        rows[name] = {
            "ms_per_step": float(np.median(seconds) * 1e3),
            "ratio": float(mid),
            "ratio_quartiles": [float(low), float(high)],
            "compile_seconds": compiled[name],
        }
        print(
            f"{name:16s} {np.median(seconds) * 1e3:7.3f} {mid:7.3f}"
            f"  [{low:.3f} {high:.3f}]  {compiled[name]:7.2f}"
        )
    write_report(options, "step_cost.py", rows)


if __name__ == "__main__":
    main()
