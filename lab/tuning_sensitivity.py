"""Quality when a hyper-parameter is off: learning rates, and penalty weights.

    python lab/tuning_sensitivity.py --output \
        lab/results/tuning_sensitivity.json

Learning rates are multiples of each optimizer's default, constant; penalty
weights, of lifted training only, are multiples of its default.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
from methods import METHODS
from report import write_report
from task import Data
from task import Task
from tasks import TASKS
from training import Judge
from training import Trainer
from training import train

import keras_lifted as kl

FACTORS = {
    "learning rate": (1 / 10, 1 / 3, 1, 3, 10),
    "penalty weight": (1 / 30, 1 / 10, 1 / 3, 1, 3, 10, 30),
}


def qualities(
    trainer: Trainer, data: Data, options: argparse.Namespace, factor: float = 1.0
) -> list[float | None]:
    """Test quality of each seed at `factor` times the default rate."""
    judge = Judge(trainer.task)
    values = [
        train(
            trainer,
            judge,
            data.train,
            data.test,
            epochs=options.epochs,
            seed=seed,
            rate=None if factor == 1 else factor * trainer.default_rate,
        )
        for seed in range(options.seeds)
    ]
    return [value if np.isfinite(value) else None for value in values]


def rate_row(
    task: Task, name: str, data: Data, options: argparse.Namespace
) -> dict[str, Any]:
    """Qualities at multiples of the default learning rate."""
    trainer = Trainer(task, METHODS[name])
    return {
        "hyper-parameter": "learning rate",
        "default": trainer.default_rate,
        "quality": [
            qualities(trainer, data, options, f) for f in FACTORS["learning rate"]
        ],
    }


def weight_row(
    task: Task, name: str, data: Data, options: argparse.Namespace
) -> dict[str, Any]:
    """Qualities at multiples of the default penalty weight."""
    optimizer = Trainer(task, METHODS[name]).model.optimizer
    lifted = kl.optimizers.lifted_part(optimizer)
    assert lifted is not None
    default, kind = lifted.penalty.weight, type(lifted.penalty)
    return {
        "hyper-parameter": "penalty weight",
        "default": default,
        "quality": [
            qualities(
                Trainer(task, METHODS[name], {"penalty": kind(weight=f * default)}),
                data,
                options,
            )
            for f in FACTORS["penalty weight"]
        ],
    }


def table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: mean quality at each factor, and what is lost over the span."""
    blocks = []
    for parameter, factors in FACTORS.items():
        rows = [row for row in results if row["hyper-parameter"] == parameter]
        if not rows:
            continue
        head = " | ".join(_times(factor) for factor in factors)
        block = [
            f"| task | method | default {parameter} | {head} | loss over the span |",
            "|---" * (len(factors) + 4) + "|",
        ]
        for row in rows:
            means = np.array(row["quality"], dtype=float).mean(axis=1)
            scores = np.array([TASKS[row["task"]].score(mean) for mean in means])
            lost = scores.max() - scores.min()
            cells = [f"{mean:.2f}" if np.isfinite(mean) else "NaN" for mean in means]
            block.append(
                f"| {row['task']} | {row['method']} | {row['default']:g} | "
                f"{' | '.join(cells)} | "
                f"{f'{lost:.2f}' if np.isfinite(lost) else 'diverges'} |"
            )
        blocks.append("\n".join(block))
    return "\n\n".join(blocks)


def _times(factor: float) -> str:
    return f"×{factor:g}" if factor >= 1 else f"×1/{1 / factor:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default="classification_mlp,deblurring")
    parser.add_argument("--methods", default="adam,muon,isgm")
    parser.add_argument("--limit", type=int, default=10_000, help="training images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    results: list[dict[str, Any]] = []
    for name in options.tasks.split(","):
        task = TASKS[name]
        data = task.load(options.limit)
        for method in options.methods.split(","):
            rows = [rate_row(task, method, data, options)]
            if METHODS[method].lifted:
                rows.append(weight_row(task, method, data, options))
            results += [{"task": name, "method": method, **row} for row in rows]
            write_report(options, "tuning_sensitivity.py", results)
            print(f"{name} {method}", flush=True)
    print(f"\n{table(results)}")


if __name__ == "__main__":
    main()
