"""Inversion of an autoencoder's encoder, by lifting, by Adam, by the decoder.

    python lab/autoencoder_inversion.py --sensitivity --output FILE.json

An autoencoder (see autoencoder.py) is trained, or read from `--weights` if that file is
there. Codes `y = E(u)` of test images, with Gaussian noise of `--noise` times their
standard deviation, are inverted by

* `kl.invert` with total variation and pixels in [0, 1], a Bregman penalty of the best
  of `--penalty-weights`, everything else at its default, for `--steps` steps; an
  infinite one lifts nothing, and leaves the primal-dual steps alone,
* Adam on `½‖E(u) − y‖² + alpha TV(u)`, projected onto [0, 1] after each step, for as
  long,
* the decoder.

Alphas of both and Adam's rate are the best of {1, 2, 5} × 10ᵏ in mean PSNR over
`--tuning` images that neither the training nor the report uses, as the weight is. Both
start from the same `--starts` images of uniform noise for every image. "Best start"
takes, for each image, the start whose nested objective is least. A run fails if it is
not finite or its PSNR is more than 6 dB below the best of its image over all starts and
methods. With `--sensitivity`, each setting is changed by 1/10 to 10, one start of the
first `--tuning` test images.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import data
import keras
import numpy as np
from autoencoder import trained
from descent import adam
from descent import seconds
from descent import tuned
from keras import ops
from rates import best_on_grid
from report import now
from report import write_report

import keras_lifted as kl

Arrays = dict[str, Any]
# (y, start, alpha, factor on the default step, or rate) -> images
Inverse = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]

NAMED = {"invert": "kl.invert", "adam": "Adam", "decoder": "decoder"}
FACTORS = (0.1, 1 / 3, 1.0, 3.0, 10.0)
FAILED = 6.0
HELD_OUT = 5000


def psnr(x: Any, images: np.ndarray) -> np.ndarray:
    """PSNR of each image; 0 where it is not finite."""
    found = ops.convert_to_numpy(kl.imaging.psnr(x, images)).astype("float64")
    return np.where(np.isfinite(found), found, 0.0)


def ssim(x: Any, images: np.ndarray) -> np.ndarray:
    """Structural similarity of each image."""
    return ops.convert_to_numpy(kl.imaging.ssim(x, images)).astype("float64")


def codes(encoder: keras.Model, images: np.ndarray, noise: float) -> np.ndarray:
    """Codes with noise."""
    y = ops.convert_to_numpy(encoder(images))
    rng = np.random.default_rng(0)
    return (y + noise * y.std() * rng.standard_normal(y.shape)).astype("float32")


def beginnings(count: int, starts: int, seed: int) -> np.ndarray:
    """Images of uniform noise, `(starts, count, 28, 28, 1)`."""
    shape = (starts, count, 28, 28, 1)
    return np.random.default_rng(seed).random(shape, dtype="float32")


def lifted(encoder: keras.Model, weight: float, steps: int) -> Inverse:
    """`kl.invert`, compiled once."""
    known = kl.regularizers.TotalVariation() + kl.regularizers.Box(0.0, 1.0)
    penalty = kl.penalties.Bregman(weight)
    inverter = kl.inversion.Inverter(encoder, known, penalty)

    def call(y: np.ndarray, start: np.ndarray, alpha: float, factor: float) -> Any:
        length = factor * (1.0 if weight == float("inf") else 2.0)
        keywords = {"tolerance": 0, "verbose": False, "step_factor": length}
        return inverter(y, steps, alpha, initial=start, **keywords).x

    return call


def descent(encoder: keras.Model, steps: int) -> Inverse:
    """Adam for so many steps."""
    run = adam(encoder, boxed=True)
    return lambda y, start, alpha, rate: run(start, y, alpha, rate, steps)


def objective(encoder: keras.Model, x: Any, y: np.ndarray, alpha: float) -> np.ndarray:
    """`½‖E(x) − y‖² + alpha TV(x)` of each image."""
    error = ops.convert_to_numpy(encoder(x)) - y
    variation = ops.convert_to_numpy(kl.regularizers.TotalVariation()(x))
    return 0.5 * np.sum(error**2, axis=1) + alpha * variation


def tune(
    encoder: keras.Model, images: np.ndarray, options: argparse.Namespace, noise: float
) -> tuple[dict[str, Inverse], dict[str, tuple[float, float]], int, float]:
    """Both inverses, alpha and step or rate of each, Adam's steps, the weight."""
    y = codes(encoder, images, noise)
    (start,) = beginnings(len(images), 1, options.seed + 1)
    first = 0.002 if noise == 0 else 0.05
    tried = []
    for weight in map(float, options.penalty_weights.split(",")):
        each = lifted(encoder, weight, options.steps)

        def score(alpha: float, each: Inverse = each) -> float:
            return float(psnr(each(y, start, alpha, 1.0), images).mean())

        first, best = best_on_grid(first, score)
        tried.append((best, weight, first, each))
    _, weight, alpha, invert = max(tried, key=lambda each: each[0])
    budget = seconds(lambda: invert(y, start, alpha, 1.0))
    run, trial = adam(encoder, boxed=True), max(10, options.steps // 2)
    run(start, y, alpha, 0.1, 1)
    taken = seconds(lambda: run(start, y, alpha, 0.1, trial))
    count = max(1, int(budget / taken * trial))
    other = descent(encoder, count)

    def both(alpha: float, rate: float) -> float:
        return float(psnr(other(y, start, alpha, rate), images).mean())

    settings = {"invert": (alpha, 1.0), "adam": tuned(both, alpha, 0.1)}
    return {"invert": invert, "adam": other}, settings, count, weight


def judged(
    images: np.ndarray, found: np.ndarray, values: np.ndarray, best: np.ndarray
) -> Arrays:
    """Figures of a method from `(starts, images)` results.

    Args:
        images: the truth.
        found: `(starts, images, 28, 28, 1)`.
        values: the nested objective of each.
        best: PSNR that each image can have.
    """
    each = np.stack([psnr(x, images) for x in found])
    similar = np.stack(
        [ops.convert_to_numpy(kl.imaging.ssim(x, images)) for x in found]
    )
    least = np.argmin(np.where(np.isfinite(values), values, np.inf), axis=0)
    columns = np.arange(len(images))
    return {
        "psnr": float(each.mean()),
        "psnr_spread": float(each.std(axis=1).mean()),
        "psnr_between_starts": float(each.std(axis=0).mean()),
        "ssim": float(similar.mean()),
        "ssim_spread": float(similar.std(axis=1).mean()),
        "psnr_best_start": float(each[least, columns].mean()),
        "ssim_best_start": float(similar[least, columns].mean()),
        "objective": float(values.mean()),
        "failures": int((each < best - FAILED).sum()),
        "runs": each.size,
    }


def cell(
    encoder: keras.Model,
    decoder: keras.Model,
    tuning: np.ndarray,
    images: np.ndarray,
    options: argparse.Namespace,
    noise: float,
) -> Arrays:
    """All methods at one noise."""
    inverses, settings, count, weight = tune(encoder, tuning, options, noise)
    y = codes(encoder, images, noise)
    starts = beginnings(len(images), options.starts, options.seed)
    found, taken = {}, {}
    for name, inverse in inverses.items():
        inverse(y, starts[0], *settings[name])
        begun = now()
        found[name] = np.stack([inverse(y, s, *settings[name]) for s in starts])
        taken[name] = (now() - begun) / len(starts)
    begun = now()
    found["decoder"] = ops.convert_to_numpy(decoder(y))[None]
    taken["decoder"] = now() - begun
    every = [psnr(x, images) for name in found for x in found[name]]
    best = np.max(every, axis=0)
    row: Arrays = {"noise": noise, "weight": f"{weight:g}"}
    for name, results in found.items():
        alpha, step = settings.get(name, settings["invert"])
        values = np.stack([objective(encoder, x, y, alpha) for x in results])
        row[name] = judged(images, results, values, best) | {"seconds": taken[name]}
        if name in settings:
            steps = options.steps if name == "invert" else count
            row[name] |= {"alpha": alpha, "step": step, "iterations": steps}
    if options.sensitivity:
        few = slice(options.tuning)
        for name, inverse in inverses.items():
            alpha, step = settings[name]

            def quality(alpha: float, step: float, inverse: Inverse = inverse) -> float:
                x = inverse(y[few], starts[0, few], alpha, step)
                return float(psnr(x, images[few]).mean())

            row[name]["by_alpha"] = [quality(f * alpha, step) for f in FACTORS]
            row[name]["by_step"] = [quality(alpha, f * step) for f in FACTORS]
    return row


def table(results: Arrays) -> str:
    """Markdown: quality of each method, then what changed settings do."""
    lines = [
        "| noise | method | PSNR (dB) | between starts | best start | SSIM | failures "
        "| alpha | weight | step or rate | seconds |",
        "|---" * 11 + "|",
    ]
    for row in results["cells"]:
        for name, shown in NAMED.items():
            r = row[name]
            weight = row["weight"] if name == "invert" else ""
            chosen = " |  | "
            if "alpha" in r:
                chosen = f"{r['alpha']:g} | {weight} | {r['step']:g}"
            lines.append(
                f"| {row['noise']:g} | {shown} | {r['psnr']:.2f} ± "
                f"{r['psnr_spread']:.2f} | {r['psnr_between_starts']:.2f} | "
                f"{r['psnr_best_start']:.2f} | {r['ssim']:.3f} ± "
                f"{r['ssim_spread']:.3f} | {r['failures']} of {r['runs']} | "
                f"{chosen} | {r['seconds']:.2f} |"
            )
    factors = " | ".join(f"×{f:.2g}" for f in FACTORS)
    changed = [
        f"| {row['noise']:g} | {NAMED[name]} | {setting} | "
        + " | ".join(f"{value:.2f}" for value in row[name][key])
        + " |"
        for row in results["cells"]
        for key, setting in (("by_alpha", "alpha"), ("by_step", "step or rate"))
        for name in ("invert", "adam")
        if key in row[name]
    ]
    if changed:
        lines += ["", f"| noise | method | setting | {factors} |", "|---" * 8 + "|"]
    return "\n".join(lines + changed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--weights", default="")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--tuning", type=int, default=20)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--noise", default="0,0.1")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--penalty-weights", default="10,inf")
    parser.add_argument("--sensitivity", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="The inversion did not converge")

    (train, _), (test, _) = data.images(options.data)
    held_out = min(HELD_OUT, len(train) // 4)
    tuning = train[-held_out:][: options.tuning]
    images = test[: options.images]
    encoder, decoder = trained(
        train[:-held_out], options.epochs, options.seed, options.weights
    )
    cells = []
    for noise in map(float, options.noise.split(",")):
        cells.append(cell(encoder, decoder, tuning, images, options, noise))
        print(table({"cells": cells[-1:]}), flush=True)
    write_report(
        options,
        "autoencoder_inversion.py",
        {"data": options.data, "steps": options.steps, "cells": cells},
    )


if __name__ == "__main__":
    main()
