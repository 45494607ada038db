"""Test accuracy of deep residual stacks against time: lifted, and by backprop.

    python lab/depth_quality.py --output lab/results/depth_quality.json

784-64, a stack of residual ReLU blocks of width 64 whose branches start small, and 10
classes of Fashion-MNIST; the stack runs as a loop for all methods. Rates of Adam, of
Muon on every block and of Adam in rounds are searched on validation images, `ISGM`
keeps its default. All methods train in turn, one epoch each, as in
time_to_quality.py; the clock leaves the first step and its compilation out, which
the table shows apart.
"""

from __future__ import annotations

import argparse
import functools
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import keras
import time_to_quality
from curves import curve
from curves import elapsed
from depth import by_depth
from methods import METHODS
from rates import ENDING
from tasks import classification
from time_to_quality import Trainers

import keras_lifted as kl

Run = dict[str, Any]


def network(depth: int, width: int, branch: float, cls: type) -> keras.Model:
    """A classifier with one residual stack; its branches sum up to about `branch`."""
    scale = (branch / depth) ** 2
    initializer = keras.initializers.VarianceScaling(scale, "fan_avg", "uniform")
    inputs = keras.Input((28, 28, 1))
    h = keras.layers.Dense(width)(keras.layers.Flatten()(inputs))
    h = kl.layers.ProximalStack(
        width, depth, "relu", residual=True, kernel_initializer=initializer
    )(h)
    return cls(inputs, keras.layers.Dense(10, name="output")(h))


def measure(depth: int, options: argparse.Namespace) -> dict[str, Any]:
    """Rates and runs of one depth, as those of a task of time_to_quality.py."""
    build = functools.partial(network, depth, options.width, options.branch)
    task = classification(build)
    data, trainers = task.load(options.limit), Trainers(task, {})
    searched = data._replace(train=tuple(each[: options.search] for each in data.train))
    rates: dict[str, Any] = {}
    time_to_quality.find_rates(rates, options, searched, trainers, lambda: None)
    runs = time_to_quality.plan(options, rates)
    for seed in range(options.seeds):
        time_to_quality.train_in_turn(runs, seed, data, trainers)
    for run in runs:
        trainer = trainers(run["method"], run["choice"])
        run["first_step"] = trainer.first_seconds
    return {
        "unit": task.unit,
        "images": len(data.train[0]),
        "rates": rates,
        "horizons": sorted({run["epochs"] for run in runs}),
        "runs": runs,
    }


def ends(run: Run, horizons: list[int]) -> list[tuple[int, float, float]]:
    """Epochs, seconds and mean accuracy where a run is read; not where it failed."""
    read = horizons if run["schedule"] not in ENDING else [run["epochs"]]
    quality, seconds = curve(run, "quality").mean(axis=0), elapsed(run)
    return [
        (end, float(seconds[end - 1]), float(quality[end - 1]))
        for end in read
        if end <= run["epochs"] and quality[end - 1] == quality[end - 1]
    ]


def best_by(seconds: float, runs: list[Run]) -> float | None:
    """The best accuracy that the usual methods had after so many seconds."""
    reached = [
        quality
        for run in runs
        if not METHODS[run["method"]].lifted
        for _, time, quality in ends(run, list(range(1, run["epochs"] + 1)))
        if time <= seconds
    ]
    return max(reached, default=None)


def table(results: dict[str, Any]) -> str:
    """Markdown: accuracies and seconds, and what backprop had by that time."""
    lines = [
        "| depth | training | rate | epochs | accuracy (%) | seconds | less the best "
        "of backprop by then | first step, s |",
        "|---" * 8 + "|",
    ]
    for depth, result in results.items():
        for run in result["runs"]:
            rate = "default" if run["rate"] is None else f"{run['rate']:g}"
            for end, seconds, quality in ends(run, result["horizons"]):
                best = best_by(seconds, result["runs"])
                less = "" if best is None else f"{quality - best:+.2f}"
                cells = [
                    depth,
                    f"{run['method']}, {run['schedule']}",
                    rate,
                    str(end),
                    f"{quality:.2f}",
                    f"{seconds:.1f}",
                    less if METHODS[run["method"]].lifted else "",
                    f"{run['first_step']:.1f}",
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", default="64,128")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--branch", type=float, default=1.0)
    parser.add_argument("--epochs", default="1,3", help="horizons")
    parser.add_argument("--more-epochs", default="9", help="horizons of Adam besides")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--limit", type=int, help="training images")
    parser.add_argument("--search", type=int, default=20_000, help="images")
    parser.add_argument("--search-epochs", type=int, default=1)
    parser.add_argument("--reach", type=int, default=1)
    parser.add_argument("--choices", type=int, default=1)
    parser.add_argument(
        "--methods",
        default="adam,block_muon,isgm,isgm_4+2,isgm_2+1,adam_4+2:constant,"
        "adam_2+1:constant",
    )
    parser.add_argument("--output", default="")
    parser.set_defaults(more_methods="adam")
    by_depth(parser.parse_args(), "depth_quality.py", measure, table)


if __name__ == "__main__":
    main()
