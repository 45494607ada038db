"""Removes noise from natural images: a proximal network, lifted and by backprop.

    python lab/denoiser.py --train TRAIN --test TEST \
        --output lab/results/denoiser.json

Dual forward-backward steps with their own operators and thresholds learn from
patches of the pictures of one folder and are tested on those of another. All
methods train in turn, one round of batches each, every one until its own clock
shows `--minutes`; the patches of a round are the same for all. The clock leaves
compilation, patches and tests out. Each method is compiled as its steps are
fastest, with XLA or, those of `--no-xla`, without. Adam's rate is searched on
patches of pictures that are held out, for less time, for a constant rate and for a
cosine decay apart. The curves are those of the first `--curve` pictures of the
test, the result that of all. Noise is not clipped, its seed is the number of the
picture, and what the network restores is rounded to 8 bits.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import keras
import numpy as np
import pictures
from data import Arrays
from methods import METHODS
from rates import search
from report import write_report
from task import Task
from task import psnr
from training import State
from training import Trainer

import keras_lifted as kl

Options = argparse.Namespace


def network(options: Options, cls: type) -> keras.Model:
    """The proximal network, for pictures of any size."""
    return kl.models.proximal_network(
        (None, None, 1), filters=options.filters, steps=options.layers, cls=cls
    )


class Restorer:
    """Trainers of all methods on the same patches, and what they restore."""

    def __init__(self, options: Options) -> None:
        learn = pictures.read(options.train)
        held = max(1, len(learn) // 20)
        self.options, self.learn = options, learn[:-held]
        self.test = pictures.whole(pictures.read(options.test), options.sigma)
        rng = np.random.default_rng([options.seed, 1])
        self.validation = self._patches(learn[-held:], options.held_out, rng)
        self.task = Task(
            lambda limit: self.validation,
            functools.partial(network, options),
            keras.losses.MeanSquaredError,
            psnr,
            "test PSNR (dB)",
            batch_size=options.batch,
        )
        self.model = network(options, keras.Model)
        self.trainer = functools.cache(self._trainer)

    def _trainer(self, name: str) -> Trainer:
        xla = name not in self.options.no_xla.split(",")
        return Trainer(self.task, METHODS[name], xla=xla)

    def _patches(
        self, learn: list[np.ndarray], count: int, rng: np.random.Generator
    ) -> Arrays:
        return pictures.patches(
            learn, count, self.options.side, self.options.sigma, rng
        )

    def round(self, name: str, state: State, number: int) -> tuple[State, float, float]:
        """One round of training: the next state, its loss and seconds."""
        options = self.options
        rng = np.random.default_rng([options.seed, 0, number])
        count = options.batch * options.batches
        return self.trainer(name).epoch(state, *self._patches(self.learn, count, rng))

    def rounds_in(self, name: str, minutes: float) -> int:
        """How many rounds take so many minutes, from the second one."""
        state, *_ = self.round(name, self.trainer(name).start(self.options.seed), 0)
        seconds = self.round(name, state, 1)[2]
        return max(1, round(60.0 * minutes / seconds))

    def start(self, name: str, rate: float | None, cosine: bool, rounds: int) -> State:
        """The state from which a run of so many rounds starts."""
        steps = rounds * self.options.batches
        decays = cosine or METHODS[name].decays
        return self.trainer(name).start(
            self.options.seed, rate, steps if decays else None
        )

    def validated(self, name: str, rate: float, cosine: bool, rounds: int) -> float:
        """PSNR on patches of held out pictures after a run; NaN where it failed."""
        state = self.start(name, rate, cosine, rounds)
        for number in range(rounds):
            state, *_ = self.round(name, state, number)
            if not state:
                return float("nan")
        noisy, clean = self.validation
        value = psnr(self._restored(name, noisy), clean)
        print(f"{name} {rate:g} {'cosine' * cosine}: {value:.2f}", flush=True)
        return value

    def tested(self, name: str, count: int | None = None) -> list[float]:
        """PSNR of the first `count` test pictures with the weights of a method."""
        return [
            pictures.psnr_of_bytes(self._restored(name, noisy), clean)
            for noisy, clean in self.test[:count]
        ]

    def _restored(self, name: str, noisy: np.ndarray) -> np.ndarray:
        self.model.set_weights(self.trainer(name).model.get_weights())
        return self.model.predict(noisy, batch_size=32, verbose=0)


def find_rate(restorer: Restorer, name: str, schedule: str) -> dict[str, Any]:
    """The best rate of a method on validation patches, and all that was tried."""
    options = restorer.options
    rounds = restorer.rounds_in(name, options.search_minutes)

    def quality(choice: dict[str, Any], rate: float) -> float:
        return restorer.validated(name, rate, schedule == "cosine", rounds)

    start = METHODS[name].start
    assert start is not None
    return {"rounds": rounds} | search(start, ({},), quality, restorer.task.score)


def plan(restorer: Restorer, rates: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs, without their results."""
    runs = []
    for entry in restorer.options.methods.split(","):
        name, schedule, *given = entry.split(":")
        rate = float(given[0]) if given else None
        if METHODS[name].start is not None and rate is None:
            key = f"{name}:{schedule}"
            if key not in rates:
                rates[key] = find_rate(restorer, name, schedule)
            rate = rates[key]["rate"]
        runs.append(
            {
                "method": name,
                "schedule": schedule,
                "rate": rate,
                "rounds": restorer.rounds_in(name, restorer.options.minutes),
                **{curve: [] for curve in ("quality", "loss", "seconds")},
            }
        )
    return runs


def train_in_turn(restorer: Restorer, runs: list[dict[str, Any]], save: Any) -> None:
    """Add curves and results to all runs, round by round in turn."""
    options = restorer.options
    states = [
        restorer.start(
            run["method"], run["rate"], run["schedule"] == "cosine", run["rounds"]
        )
        for run in runs
    ]
    for number in range(max(run["rounds"] for run in runs)):
        for i, run in enumerate(runs):
            if number >= run["rounds"] or not states[i]:
                continue
            name = run["method"]
            states[i], loss, seconds = restorer.round(name, states[i], number)
            run["seconds"].append(seconds)
            if not states[i]:
                run["failed"] = True
                continue
            run["loss"].append(loss)
            run["quality"].append(np.mean(restorer.tested(name, options.curve)))
            if number + 1 == run["rounds"]:
                run["pictures"] = restorer.tested(name)
        save()


def table(results: dict[str, Any]) -> str:
    """Markdown: PSNR on all pictures of the test, and the time it took."""
    lines = [
        "| training | rate | steps | minutes | PSNR (dB) |",
        "|---|---|---|---|---|",
    ]
    for run in results["runs"]:
        rate = "default" if run["rate"] is None else f"{run['rate']:g}"
        done = "pictures" in run
        cells = [
            f"{run['method']}, {run['schedule']}",
            rate,
            str(len(run["loss"]) * results["batches"]),
            f"{sum(run['seconds']) / 60.0:.1f}",
            f"{np.mean(run['pictures']):.2f}" if done else "failed",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines.append(f"| none, the noisy pictures | | | | {results['noisy']:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", required=True, help="folder of grey PNG files")
    parser.add_argument("--test", required=True, help="folder of grey PNG files")
    parser.add_argument("--layers", type=int, default=20)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--side", type=int, default=50, help="of patches, in pixels")
    parser.add_argument("--sigma", type=float, default=25.0, help="of 255")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--batches", type=int, default=20, help="of a round")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--search-minutes", type=float, default=1.0)
    parser.add_argument("--held-out", type=int, default=128, help="patches")
    parser.add_argument("--curve", type=int, default=6, help="pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--methods",
        default="isgm:decay,adam:constant:0.001,adam:cosine",
        help="method:schedule, and :rate to leave out its search",
    )
    parser.add_argument("--rates", default="", help="report whose search is reused")
    parser.add_argument("--no-xla", default="adam", help="methods")
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    restorer = Restorer(options)
    noisy = [pictures.psnr_of_bytes(*pair) for pair in restorer.test]
    results: dict[str, Any] = {
        **{"unit": restorer.task.unit, "batches": options.batches},
        **{"noisy": float(np.mean(noisy)), "rates": {}},
    }
    if options.rates:
        report = json.loads(pathlib.Path(options.rates).read_text())
        results["rates"] = report["results"]["rates"]
    results["runs"] = plan(restorer, results["rates"])
    train_in_turn(
        restorer, results["runs"], lambda: write_report(options, "denoiser.py", results)
    )
    print(table(results), flush=True)


if __name__ == "__main__":
    main()
