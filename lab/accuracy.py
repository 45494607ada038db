"""Test accuracy on Fashion-MNIST: lifted training beside backprop.

    python lab/accuracy.py --output lab/results/accuracy.json

The same model, seed, data order and optimizer (Keras's Adam, default rate)
for both; mean and standard deviation over seeds.
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
from data import images
from report import write_report
from tasks import ACTIVATIONS
from tasks import conv
from tasks import mlp

import keras_lifted as kl

MODELS = {"mlp": mlp, "conv": conv}
NAMES = ("relu", "soft_threshold")


def train(
    model: str, activation: str, lifted: bool, seed: int, epochs: int, data: Any
) -> float:
    """Test accuracy in per cent after `epochs`."""
    keras.utils.set_random_seed(seed)
    cls = kl.LiftedModel if lifted else keras.Model
    network = MODELS[model](ACTIVATIONS[activation], cls)
    network.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    x, y, x_test, y_test = data
    network.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    logs = network.evaluate(
        x_test, y_test, batch_size=1000, verbose=0, return_dict=True
    )
    return 100.0 * logs["accuracy"]


def table(results: dict[str, Any]) -> str:
    """Markdown: mean ± standard deviation over seeds."""
    lines = [
        "| network | backprop (%) | lifted, sweep (%) | seeds |",
        "|---|---|---|---|",
    ]
    for name, scores in results.items():
        cells = [
            f"{np.mean(v):.2f} ± {np.std(v, ddof=1):.2f}"
            for v in (scores["backprop"], scores["lifted"])
        ]
        lines.append(f"| {name} | {' | '.join(cells)} | {len(scores['lifted'])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    train_set, test_set = images("fashion_mnist")
    data = (*train_set, *test_set)
    rows = {}
    for model in options.models.split(","):
        for activation in NAMES:
            scores = {
                name: [
                    train(model, activation, lifted, seed, options.epochs, data)
                    for seed in range(options.seeds)
                ]
                for name, lifted in (("backprop", False), ("lifted", True))
            }
            rows[f"{model} {activation}"] = scores
            line = "  ".join(
                f"{name} {np.mean(v):.2f} ± {np.std(v, ddof=1):.2f}"
                for name, v in scores.items()
            )
            print(f"{model:5s} {activation:15s} {line}", flush=True)
    write_report(options, "accuracy.py", rows)


if __name__ == "__main__":
    main()
