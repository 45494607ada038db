"""Deterministic block coordinate descent: does the energy fall in every sweep?

    python lab/deterministic.py --output lab/results/deterministic.json

A 784-128-128-10 network on the first 10,000 images of Fashion-MNIST, 50 epochs of
`model.fit` whose batch is the whole data set. Lifted variables are persistent. One
sweep is `--steps` updates of every lifted variable and one step of the weights.
Reports, for each acceleration of the lifted variables, the energy, the loss of the
forward pass and the largest gap of every sweep.
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
import numpy as np
from data import images
from report import write_report

import keras_lifted as kl

layers = keras.layers
ACCELERATIONS = {
    "plain": None,
    "nesterov": "nesterov",
    "heavy_ball": "heavy_ball",
    "adam": "adam",
}
# A sum of 10,000 float32 penalties is not known more exactly.
ROUNDING = 1e-6


class LargestGap(keras.callbacks.Callback):
    """Adds the largest mean penalty of a block to the logs of each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        lifted = kl.optimizers.lifted_part(self.model.optimizer)
        gap = keras.ops.convert_to_numpy(lifted.lifted.gap)
        caution = keras.ops.convert_to_numpy(lifted.lifted.caution)
        logs |= {"largest_gap": float(gap.max()), "caution": float(caution)}


def optimizer_of(
    options: argparse.Namespace, acceleration: str | None
) -> keras.optimizers.Optimizer:
    """Block coordinate descent around the chosen optimizer of the weights."""
    return kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.get(
            {
                "class_name": options.optimizer,
                "config": {"learning_rate": options.learning_rate},
            }
        ),
        penalty=kl.penalties.Bregman(options.weight),
        lifted_update=kl.updates.ProximalGradient(
            options.steps, acceleration, order=options.order
        ),
        curvature_refresh=options.refresh,
        persistent=True,
    )


def train(
    options: argparse.Namespace, acceleration: str | None, x: Any, y: Any
) -> dict[str, Any]:
    """Curves of one run, one value for each sweep."""
    keras.utils.set_random_seed(options.seed)
    inputs = keras.Input((28, 28, 1))
    h = layers.Flatten()(inputs)
    for _ in range(2):
        h = layers.Dense(128, activation=options.activation)(h)
    model = kl.LiftedModel(inputs, layers.Dense(10)(h))
    model.compile(
        optimizer=optimizer_of(options, acceleration),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        if options.loss == "cross_entropy"
        else "mse",
        jit_compile=True,
    )
    y = y if options.loss == "cross_entropy" else np.eye(10, dtype="float32")[y]
    begin = time.perf_counter()
    history = model.fit(
        x,
        y,
        batch_size=len(x),
        epochs=options.sweeps,
        verbose=0,
        callbacks=[LargestGap()],
    ).history
    energy = np.array(history["lifted_energy"])
    return {
        "monotone": bool((np.diff(energy) <= ROUNDING * energy[:-1]).all()),
        "largest_rise": float((np.diff(energy) / energy[:-1]).max()),
        "seconds": time.perf_counter() - begin,
        "energy": history["lifted_energy"],
        "loss": history["loss"],
        "largest_gap": history["largest_gap"],
        "caution": history["caution"],
    }


def table(results: dict[str, Any]) -> str:
    """Markdown: first and last sweep, and the largest rise of the energy."""
    lines = [
        "| acceleration | energy | feed-forward loss | largest gap | "
        "highest relative change of the energy (negative: it fell) | energy fell in |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results.items():
        energy, loss, gap = (row[key] for key in ("energy", "loss", "largest_gap"))
        fell = int((np.diff(energy) < 0).sum())
        lines.append(
            f"| {name.replace('_', ' ')} | {energy[0]:.5f} → {energy[-1]:.5f} | "
            f"{loss[0]:.5f} → {loss[-1]:.5f} | {gap[0]:.5f} → {gap[-1]:.5f} | "
            f"{row['largest_rise']:+.2%} | {fell} of {len(energy) - 1} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--sweeps", type=int, default=50)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--order", default="output_to_input")
    parser.add_argument("--accelerations", default=",".join(ACCELERATIONS))
    parser.add_argument("--weight", type=float, default=1.0)
    parser.add_argument("--refresh", type=int, default=5)
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--learning-rate", type=float, default=0.02)
    parser.add_argument("--loss", default="mse", choices=("mse", "cross_entropy"))
    parser.add_argument("--activation", default="relu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    x, y = (part[: options.samples] for part in images("fashion_mnist")[0])
    rows = {}
    for name in options.accelerations.split(","):
        rows[name] = row = train(options, ACCELERATIONS[name], x, y)
        print(
            f"{name:11s} {'monotone' if row['monotone'] else 'NOT monotone':12s} "
            f"largest rise {row['largest_rise']:+.1e}  energy "
            f"{row['energy'][0]:.5f} -> {row['energy'][-1]:.5f}  loss "
            f"{row['loss'][0]:.4f} -> {row['loss'][-1]:.4f}  largest gap "
            f"{max(row['largest_gap']):.4f}  caution {row['caution'][-1]:.2f}  "
            f"{row['seconds']:.0f} s",
            flush=True,
        )
    write_report(options, "deterministic.py", rows)


if __name__ == "__main__":
    main()
