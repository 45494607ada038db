"""Quality against time: the usual optimizers, and lifted training's default.

    python lab/time_to_quality.py --task deblurring --epochs 1,2,5,15 \
        --output lab/results/deblurring.json

Learning rates of the usual optimizers are searched first, for a constant rate
and for Keras's CosineDecay apart, by quality on validation images; see
methods.py and rates.py. A horizon with cosine decay is a run of its own; a
constant rate runs once, to the longest horizon. All methods train in turn, one
epoch each, or one of the `--parts` of an epoch, after which they are judged; the clock
leaves compilation, evaluation and shuffling out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
from curves import table
from methods import METHODS
from rates import ENDING
from rates import SCHEDULES
from rates import search
from rates import stored
from report import write_report
from task import Data
from task import Task
from tasks import TASKS
from training import Judge
from training import Trainer
from training import shuffled
from training import train

Options = argparse.Namespace


class Trainers:
    """A trainer for every method and its arguments, compiled when first used."""

    def __init__(self, task: Task, lifted_arguments: dict[str, Any]) -> None:
        self.task, self.lifted_arguments = task, lifted_arguments
        self._trainers: dict[str, Trainer] = {}

    def __call__(self, name: str, choice: dict[str, Any]) -> Trainer:
        method = METHODS[name]
        arguments = self.lifted_arguments if method.lifted else choice
        key = f"{name} {json.dumps(choice)}"
        if key not in self._trainers:
            self._trainers[key] = Trainer(self.task, method, arguments)
        return self._trainers[key]


def chosen(options: Options) -> dict[str, tuple[str, ...]]:
    """The schedules of every method; "muon:cosine" chooses one of them."""
    methods = {}
    for entry in options.methods.split(","):
        name, _, schedule = entry.partition(":")
        usual = SCHEDULES
        if METHODS[name].start is None:
            usual = ("decay",) if METHODS[name].decays else ("own",)
        methods[name] = (schedule,) if schedule else usual
    return methods


def find_rate(
    name: str,
    schedule: str,
    start: float,
    options: Options,
    data: Data,
    trainers: Trainers,
) -> dict[str, Any]:
    """The best rate and choice of a method, and all that was tried."""
    judge = Judge(trainers.task)

    def quality(choice: dict[str, Any], rate: float) -> float:
        value = train(
            trainers(name, choice),
            judge,
            data.train,
            data.validation,
            epochs=options.search_epochs,
            rate=rate,
            cosine=schedule == "cosine",
        )
        print(f"{name} {schedule} {choice} {rate:g}: {value:.3f}", flush=True)
        return value

    score = trainers.task.score
    choices = METHODS[name].choices[: options.choices]
    found = search(start, choices, quality, score, options.reach)
    return {"epochs": options.search_epochs, **found}


def find_rates(
    rates: dict[str, Any],
    options: Options,
    data: Data,
    trainers: Trainers,
    save: Callable[[], None],
) -> None:
    """Add what is missing to `{method: {schedule: best rate, choice, tried}}`."""
    for name, schedules in chosen(options).items():
        start = METHODS[name].start
        if start is None:
            continue
        found = rates.setdefault(name, {})
        for schedule in schedules:
            if schedule not in found:
                found[schedule] = find_rate(
                    name, schedule, start, options, data, trainers
                )
                save()
            start = found[schedule]["rate"]


def horizons_of(name: str, options: Options) -> list[float]:
    """Epochs of the runs of a method; `--more-methods` run for longer too.

    With `--parts` they may be multiples of a part.
    """
    parts = getattr(options, "parts", 1)
    texts = options.epochs.split(",")
    if name in options.more_methods.split(","):
        texts += [text for text in options.more_epochs.split(",") if text]
    horizons = {float(text) for text in texts}
    for horizon in horizons:
        if horizon <= 0 or horizon * parts % 1:
            raise ValueError(
                f"Expected `--epochs` to be multiples of 1/{parts}, as `--parts` says. "
                f"Received: {horizon:g}."
            )
    return sorted(int(each) if each == int(each) else each for each in horizons)


def plan(options: Options, rates: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of every seed, without their results."""
    runs = []
    for name, schedules in chosen(options).items():
        horizons = horizons_of(name, options)
        for schedule in schedules:
            ends = horizons if schedule in ENDING else horizons[-1:]
            best = {"rate": None, "choice": {}}
            if METHODS[name].start is not None:
                best = rates[name][schedule]
            runs += [_run(name, schedule, end, best) for end in ends]
    return runs


def _run(
    name: str, schedule: str, epochs: float, chosen: dict[str, Any]
) -> dict[str, Any]:
    return {
        "method": name,
        "schedule": schedule,
        "epochs": epochs,
        "rate": chosen["rate"],
        "choice": chosen["choice"],
        "quality": [],
        "loss": [],
        "seconds": [],
    }


def train_in_turn(
    runs: list[dict[str, Any]],
    seed: int,
    data: Data,
    trainers: Trainers,
    parts: int = 1,
) -> None:
    """Add the curves of one seed to all runs, in turn after each part of an epoch."""
    judge = Judge(trainers.task)
    size = trainers.task.batch_size
    steps = len(data.train[0]) // size
    curves = ("quality", "loss", "seconds", *trainers.task.others)
    states = []
    for run in runs:
        trainer = trainers(run["method"], run["choice"])
        horizon = int(run["epochs"] * steps) if run["schedule"] in ENDING else None
        states.append(trainer.start(seed, run["rate"], horizon))
        for curve in curves:
            run.setdefault(curve, []).append([])
    for epoch in range(math.ceil(max(run["epochs"] for run in runs))):
        x, y = shuffled(data.train, size, seed, epoch)
        ends = size * np.linspace(0, steps, parts + 1).astype(int)
        for (k, part), (i, run) in itertools.product(
            enumerate(itertools.pairwise(ends)), enumerate(runs)
        ):
            if epoch + k / parts >= run["epochs"]:
                continue
            values = dict.fromkeys(curves, float("nan"))
            if states[i]:
                trainer = trainers(run["method"], run["choice"])
                batches = slice(*part)
                states[i], *measured = trainer.epoch(states[i], x[batches], y[batches])
                values["loss"], values["seconds"] = measured
            if states[i]:
                values |= judge.all(trainer.model, data.test)
            for curve, value in values.items():
                run[curve][-1].append(value if np.isfinite(value) else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(TASKS), default="deblurring")
    parser.add_argument("--epochs", default="1,2,5,15", help="horizons")
    parser.add_argument(
        "--more-epochs", default="", help="horizons of --more-methods besides"
    )
    parser.add_argument(
        "--more-methods",
        default="sgd,adam,adamw",
        help="those that run for --more-epochs too",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", type=int, default=1, help="of an epoch, each judged")
    parser.add_argument(
        "--methods",
        default="sgd,adam,adamw,muon,isgm",
        help='"muon:cosine": that schedule only; "isgm:constant": without its decay',
    )
    parser.add_argument("--limit", type=int, help="training images")
    parser.add_argument("--search-epochs", type=int, default=2)
    parser.add_argument(
        "--reach", type=int, default=1, help="neighbours that must lose"
    )
    parser.add_argument(
        "--choices", type=int, help="of a method's arguments: the first ones"
    )
    parser.add_argument("--search-only", action="store_true")
    parser.add_argument("--rates", default="", help="report whose search is reused")
    parser.add_argument("--lifted-arguments", type=json.loads, default={})
    parser.add_argument("--output", default="")
    options = parser.parse_args()

    task = TASKS[options.task]
    data = task.load(options.limit)
    trainers = Trainers(task, options.lifted_arguments)
    results: dict[str, Any] = {
        "task": options.task,
        "unit": task.unit,
        "images": len(data.train[0]),
        "steps_per_epoch": len(data.train[0]) // task.batch_size,
        "lifted_arguments": options.lifted_arguments,
        "rates": stored(options.rates, options.task),
    }

    def save() -> None:
        write_report(options, "time_to_quality.py", results)

    find_rates(results["rates"], options, data, trainers, save)
    save()
    if options.search_only:
        return
    runs = plan(options, results["rates"])
    results["horizons"] = sorted({run["epochs"] for run in runs})
    results["runs"] = runs
    for seed in range(options.seeds):
        train_in_turn(runs, seed, data, trainers, options.parts)
        print(
            f"\nAfter {seed + 1} of {options.seeds} seeds\n\n{table(results)}",
            flush=True,
        )
        save()


if __name__ == "__main__":
    main()
