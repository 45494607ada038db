"""What the lifted direction is worth, with the same step of the weights.

    python lab/ablation.py --output lab/results/ablation.json

784-256-256-10 on Fashion-MNIST, learning rates as they are by default. Each
row is a direction: backprop (by `keras.Model`, or for optimizers that only
lifted models have, by infinite penalty weights, which lift nothing), the
sweep's limit of a weight of a million, sweeps of finite weights, more inner
steps, and other penalties at their default weights: with proximal steps, since
a sweep of the quadratic penalty is backprop exactly. Columns are activations.
"""

from __future__ import annotations

import argparse
import functools
import math
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import keras
import numpy as np
from methods import METHODS
from report import write_report
from tasks import classification
from tasks import dense
from training import Judge
from training import Trainer
from training import train

import keras_lifted as kl

STEEPNESS = 20.0


def steep_clip() -> Callable[[Any], Any]:
    """`clip(20 z, 0, 1)`, near a step: the scaling belongs to the block."""
    scaling = keras.layers.Rescaling(STEEPNESS)
    box = kl.layers.BoxProjection(0.0, 1.0)
    return lambda z: box(scaling(z))


ACTIVATIONS: dict[str, Callable[[], Any]] = {
    "relu": kl.layers.ReLU,
    "soft_threshold": lambda: kl.layers.SoftThreshold(0.05),
    "hard_tanh": kl.layers.HardTanh,
    "simplex": kl.layers.SimplexProjection,
    "steep_clip": steep_clip,
}


def bregman(weight: float, steps: int = 0) -> dict[str, Any]:
    """Arguments of a lifted optimizer: the sweep, or `steps` proximal steps."""
    penalty = {"penalty": kl.penalties.Bregman(weight=weight)}
    if not steps:
        return penalty
    return penalty | {"lifted_update": kl.updates.ProximalGradient(steps)}


DIRECTIONS: dict[str, dict[str, Any]] = {
    "backprop": bregman(math.inf),
    "sweep, w = 1e6": bregman(1e6),
    **{f"sweep, w = {w:g}": bregman(w) for w in (100, 30, 10, 3, 1, 0.3)},
    **{
        f"{steps} proximal steps, w = {w:g}": bregman(w, steps)
        for w in (10, 1)
        for steps in (3, 8)
    },
    **{
        f"{steps} proximal steps, {penalty}": {
            "penalty": penalty,
            "lifted_update": kl.updates.ProximalGradient(steps),
        }
        for penalty in ("quadratic", "fenchel", "contrastive")
        for steps in (3, 8)
    },
}
# The optimizer of `keras.Model` that takes the same step of the weights.
PLAIN = {"lifted_adam": "adam"}


def known(arguments: dict[str, Any]) -> bool:
    """Whether this package has the penalty."""
    try:
        kl.penalties.get(arguments["penalty"])
    except ValueError:
        return False
    return True


def accuracies(
    method: str, direction: str, activation: str, data: Any, options: Any
) -> list[float | None]:
    """Test accuracy of each seed in per cent, None where training failed."""
    hidden = [(256, ACTIVATIONS[activation])] * 2
    task = classification(functools.partial(dense, hidden, 10))
    arguments = dict(DIRECTIONS[direction])
    if direction == "backprop" and method in PLAIN:
        method, arguments = PLAIN[method], {}
    trainer, judge = Trainer(task, METHODS[method], arguments), Judge(task)
    runs = (
        train(trainer, judge, data.train, data.test, options.epochs, seed)
        for seed in range(options.seeds)
    )
    return [value if np.isfinite(value) else None for value in runs]


def table(results: dict[str, Any]) -> str:
    """Markdown: mean ± standard deviation of test accuracy, one table a method."""
    blocks = []
    for method, rows in results.items():
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        lines = [
            f"| {method}: test accuracy (%) | {' | '.join(names)} |",
            "|---" * (len(names) + 1) + "|",
        ]
        for direction, row in rows.items():
            cells = " | ".join(_cell(row.get(name)) for name in names)
            lines.append(f"| {direction} | {cells} |")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cell(values: list[float | None] | str | None) -> str:
    if values is None or isinstance(values, str):
        return "" if values is None else "not possible"
    numbers = np.array(values, dtype=float)
    if not np.isfinite(numbers).all():
        return "NaN"
    spread = numbers.std(ddof=1) if len(numbers) > 1 else 0.0
    return f"{numbers.mean():.2f} ± {spread:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="lifted_adam,isgm")
    parser.add_argument("--activations", default=",".join(ACTIVATIONS))
    parser.add_argument(
        "--directions", default=";".join(DIRECTIONS), help="';' between"
    )
    parser.add_argument("--limit", type=int, default=20_000, help="training images")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    data = classification(lambda cls: None).load(options.limit)
    directions = [d for d in options.directions.split(";") if known(DIRECTIONS[d])]
    results: dict[str, Any] = {}
    for method in options.methods.split(","):
        rows = results.setdefault(method, {})
        for direction in directions:
            row = rows.setdefault(direction, {})
            for activation in options.activations.split(","):
                try:
                    row[activation] = accuracies(
                        method, direction, activation, data, options
                    )
                except (ValueError, TypeError) as error:
                    row[activation] = str(error)
                keras.backend.clear_session()
            print(f"{method} {direction} {row}", flush=True)
            write_report(options, "ablation.py", results)
    print(f"\n{table(results)}")


if __name__ == "__main__":
    main()
