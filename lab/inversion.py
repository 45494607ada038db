"""Perceptron inversion against gradient descent, at equal time.

    python lab/inversion.py --output lab/results/perceptron_inversion.json

Images of 64 × 64 pixels, a phantom and three pictures of scikit-image, go through one
dense layer with ReLU and random weights to 512 or 2048 outputs, to which noise of 0,
0.05 or 0.5 of their standard deviation is added; what becomes negative is set to 0.
Three methods recover the images with total variation:

* `kl.invert`, which takes up to `--steps` steps.
* The same with the output lifted too: a layer that changes nothing, behind ReLU, makes
  it a hidden block, and `½‖x − y‖²` the fit to the data. That is the model of noise
  behind ReLU; the Bregman penalty pulls silent units towards the noise they show. Its
  weight is the best of `--penalty-weights`, as Adam's rate is.
* Adam on `½‖relu(W u + b) − y‖² + alpha TV(u)` through automatic differentiation, for
  as long as the slower of the two, at the best rate of {1, 2, 5} × 10ᵏ for every
  alpha. It starts from grey images: at 0, where `kl.invert` starts, all its
  pre-activations are 0 and ReLU has no derivative to follow.

The seconds are those of a whole call, for all images together, with compilation left
out. Each takes the alpha of the grid {1, 2, 5} × 10ᵏ whose mean PSNR over the images is
best: chosen by the truth, the same favour to both. Reports PSNR for every image.
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
import numpy as np
from descent import adam
from descent import seconds
from descent import tuned
from keras import ops
from rates import best_on_grid
from report import write_report

import keras_lifted as kl

SIDE = 64
NAMES = ("phantom", "camera", "coins", "moon")
Arrays = dict[str, Any]
NAMED = {
    "invert": "kl.invert",
    "output_lifted": "kl.invert, output lifted",
    "adam": "Adam",
}


def pictures() -> np.ndarray:
    """The images in [0, 1], `(4, 64, 64, 1)`."""
    from skimage import data
    from skimage import transform

    rows, columns = np.mgrid[:SIDE, :SIDE]
    phantom = np.zeros((SIDE, SIDE))
    phantom[(rows - 24) ** 2 + (columns - 22) ** 2 < 12**2] = 1.0
    phantom[36:54, 34:56] = 0.6
    found = [phantom]
    for name in NAMES[1:]:
        picture = getattr(data, name)() / 255.0
        side = min(picture.shape)
        square = picture[:side, :side]
        found.append(transform.resize(square, (SIDE, SIDE), anti_aliasing=True))
    return np.stack(found).astype("float32")[..., None]


def network(outputs: int, seed: int) -> keras.Model:
    """One dense layer with ReLU; the variance of a weight is 1/64²."""
    initializer = keras.initializers.RandomNormal(stddev=1 / SIDE, seed=seed)
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs, "relu", kernel_initializer=initializer),
        ]
    )


def data_of(model: keras.Model, images: Any, noise: float, seed: int) -> np.ndarray:
    """Outputs with noise, in the range of ReLU."""
    y = ops.convert_to_numpy(model(images))
    rng = np.random.default_rng(seed)
    noisy = y + noise * y.std() * rng.normal(size=y.shape)
    return np.maximum(noisy, 0).astype("float32")


def lifted_output(model: keras.Model) -> keras.Model:
    """The same function, its ReLU not the last block any more."""
    return keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), model, keras.layers.Rescaling(1.0)]
    )


def quality(x: Any, images: np.ndarray) -> np.ndarray:
    """PSNR of each image."""
    return ops.convert_to_numpy(kl.imaging.psnr(x, images)).astype("float64")


def inverted(
    network: keras.Model,
    y: np.ndarray,
    images: np.ndarray,
    steps: int,
    first: float,
    weight: float | None = None,
) -> Arrays:
    """`kl.invert` at its best alpha, with the penalty weight of hidden blocks."""
    penalty = None if weight is None else kl.penalties.Bregman(weight)
    variation = kl.regularizers.TotalVariation()
    inverter = kl.inversion.Inverter(network, variation, penalty)

    def invert(alpha: float) -> kl.inversion.Inversion:
        return inverter(y, steps, alpha, check_every=25, verbose=False)

    alpha, _ = best_on_grid(first, lambda a: quality(invert(a).x, images).mean())
    result = invert(alpha)
    return {
        "alpha": alpha,
        **({} if weight is None else {"weight": weight}),
        "psnr": quality(result.x, images).tolist(),
        "iterations": result.iterations,
        "converged": bool(result.converged),
        "seconds": seconds(functools.partial(invert, alpha)),
    }


def cell(options: argparse.Namespace, outputs: int, noise: float) -> Arrays:
    """Both methods at one number of outputs and one noise."""
    images = pictures()[: options.images]
    model = network(outputs, options.seed)
    y = data_of(model, images, noise, options.seed)
    first = 0.005 if noise < 0.2 else 0.1
    row: Arrays = {"outputs": outputs, "noise": noise}
    row["invert"] = inverted(model, y, images, options.steps, first)
    weights = map(float, options.penalty_weights.split(","))
    lifted = lifted_output(model)
    each = [inverted(lifted, y, images, options.steps, first, w) for w in weights]
    row["output_lifted"] = max(each, key=lambda found: np.mean(found["psnr"]))
    budget = max(row[name]["seconds"] for name in ("invert", "output_lifted"))

    alpha = row["output_lifted"]["alpha"]
    run, grey = adam(model), np.full_like(images, 0.5)
    run(grey, y, alpha, 0.1, 1)
    trial = max(10, options.steps // 4)
    taken = seconds(lambda: run(grey, y, alpha, 0.1, trial))
    count = max(1, int(budget / taken * trial))

    def score(weight: float, rate: float) -> float:
        return quality(run(grey, y, weight, rate, count), images).mean()

    weight, rate = tuned(score, alpha, 0.05)
    other = quality(run(grey, y, weight, rate, count), images)
    row["adam"] = {
        "alpha": weight,
        "rate": rate,
        "psnr": other.tolist(),
        "iterations": count,
        "seconds": budget,
    }
    return row


def table(results: Arrays) -> str:
    """Markdown: PSNR of every image, both methods in every cell."""
    names = results["images"]
    lines = [
        f"| outputs | noise | method | {' | '.join(names)} | mean | alpha "
        "| weight or rate | iterations | seconds |",
        "|" + "---|" * (len(names) + 8),
    ]
    for row in results["cells"]:
        for method, name in NAMED.items():
            found = row[method]
            numbers = " | ".join(f"{v:.2f}" for v in found["psnr"])
            other = found.get("weight", found.get("rate", ""))
            rate = f"{other:g}" if other else ""
            lines.append(
                f"| {row['outputs']} | {row['noise']:g} | {name} | {numbers} | "
                f"{np.mean(found['psnr']):.2f} | {found['alpha']:g} | {rate} | "
                f"{found['iterations']} | {found['seconds']:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="512,2048")
    parser.add_argument("--noise", default="0,0.05,0.5")
    parser.add_argument("--penalty-weights", default="1,3,10")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--images", type=int, default=len(NAMES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", default="")
    options = parser.parse_args()
    import warnings

    warnings.filterwarnings("ignore", message="The inversion did not converge")
    cells = []
    for outputs in map(int, options.outputs.split(",")):
        for noise in map(float, options.noise.split(",")):
            cells.append(row := cell(options, outputs, noise))
            for method in NAMED:
                shown = " ".join(f"{value:6.2f}" for value in row[method]["psnr"])
                print(
                    f"{outputs:5d} outputs  noise {noise:4.2f}  {method:13s} {shown} dB"
                    f"  {row[method]['iterations']:6d} steps  alpha "
                    f"{row[method]['alpha']:g}  {row[method]['seconds']:.1f} s",
                    flush=True,
                )
    names = list(NAMES[: options.images])
    write_report(options, "inversion.py", {"images": names, "cells": cells})


if __name__ == "__main__":
    main()
