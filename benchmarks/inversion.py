"""Perceptron inversion against gradient descent, at equal time.

    python benchmarks/inversion.py --output benchmarks/results/inversion.json

Images of 64 × 64 pixels, a phantom and three pictures of scikit-image, go through one
dense layer with ReLU and random weights to 512 or 2048 outputs, to which noise of 0,
0.05 or 0.5 of their standard deviation is added; what becomes negative is set to 0.
Two methods recover the images with total variation:

* `kl.invert`, which takes up to `--steps` steps. Its seconds, compilation left out,
  are the budget of a cell.
* Adam on `½‖relu(W u + b) − y‖² + alpha TV(u)` through automatic differentiation, for
  that budget, at the best rate of {1, 2, 5} × 10ᵏ. TV is differentiated with the
  square root of squares + 1e-8.

Each takes the alpha of the grid {1, 2, 5} × 10ᵏ whose mean PSNR over the images is
best: chosen by the truth, the same favour to both. Reports PSNR for every image.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import keras
import numpy as np
from keras import ops
from rates import climb
from report import write_report

import keras_lifted as kl
from keras_lifted.backend import compiled
from keras_lifted.backend import gradient
from keras_lifted.backend import while_loop

SIDE = 64
NAMES = ("phantom", "camera", "coins", "moon")
Arrays = dict[str, Any]


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


def quality(x: Any, images: np.ndarray) -> np.ndarray:
    """PSNR of each image."""
    return ops.convert_to_numpy(kl.imaging.psnr(x, images)).astype("float64")


def adam(model: keras.Model, y: Any, images: np.ndarray) -> Callable[..., Any]:
    """`run(alpha, rate, steps)`: images after Adam, compiled once."""
    dense = model.layers[-1]
    kernel, bias, y = map(ops.convert_to_tensor, (dense.kernel, dense.bias, y))
    variation = kl.regularizers.TotalVariation()

    def objective(u: Any, alpha: Any) -> tuple[Any, None]:
        outputs = ops.relu(ops.reshape(u, (len(images), -1)) @ kernel + bias)
        fit = 0.5 * ops.sum(ops.square(outputs - y))
        squares = ops.sum(ops.square(variation.operator(u)), axis=-1)
        return fit + alpha * ops.sum(ops.sqrt(squares + 1e-8)), None

    def run(alpha: Any, rate: Any, steps: Any) -> Any:
        def body(k: Any, u: Any, m: Any, v: Any) -> tuple[Any, ...]:
            _, (slope,) = gradient(lambda u: objective(u, alpha), [u])
            m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * ops.square(slope)
            k = k + 1.0
            step = (m / (1.0 - 0.9**k)) / (ops.sqrt(v / (1.0 - 0.999**k)) + 1e-8)
            return k, u - rate * step, m, v

        zero = ops.zeros(images.shape, "float32")
        begin = (ops.zeros(()), zero, zero, zero)
        return while_loop(lambda k, *_: k < steps, body, begin)[1]

    fast = compiled(run)

    def called(alpha: float, rate: float, steps: int) -> Any:
        numbers = (ops.convert_to_tensor(float(n)) for n in (alpha, rate, steps))
        return ops.convert_to_numpy(fast(*numbers))

    return called


def best_on_grid(start: float, score: Callable[[float], float]) -> tuple[float, float]:
    """The best value of {1, 2, 5} × 10ᵏ, and its score."""
    scores: dict[float, float] = {}

    def remembered(value: float) -> float:
        if value not in scores:
            found = score(value)
            scores[value] = found if np.isfinite(found) else -np.inf
        return scores[value]

    best = climb(start, remembered)
    return best, remembered(best)


def step_seconds(result: kl.inversion.Inversion) -> float:
    """Wall-clock time of all steps, from those after the first check."""
    at, steps = result.history["seconds"], result.history["iteration"]
    return float((at[-1] - at[0]) * steps[-1] / (steps[-1] - steps[0]))


def seconds(function: Callable[[], Any]) -> float:
    """Least wall-clock time of three calls."""
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        function()
        times.append(time.perf_counter() - begun)
    return min(times)


def invert(model: Any, y: Any, alpha: float, steps: int) -> kl.inversion.Inversion:
    """The package's inverse, silent."""
    return kl.invert(
        model,
        y,
        kl.regularizers.TotalVariation(),
        steps,
        alpha=alpha,
        tolerance=1e-3,
        check_every=25,
        verbose=False,
    )


def cell(options: argparse.Namespace, outputs: int, noise: float) -> Arrays:
    """Both methods at one number of outputs and one noise."""
    images = pictures()[: options.images]
    model = network(outputs, options.seed)
    y = data_of(model, images, noise, options.seed)

    def lifted(alpha: float) -> float:
        return float(quality(invert(model, y, alpha, options.steps).x, images).mean())

    alpha, _ = best_on_grid(0.005 if noise < 0.2 else 0.1, lifted)
    result, budget = invert(model, y, alpha, options.steps), np.inf
    for _ in range(3):
        again = invert(model, y, alpha, options.steps)
        budget = min(budget, step_seconds(again))

    run = adam(model, y, images)
    run(alpha, 0.1, 1)
    trial = max(10, options.steps // 4)
    taken = seconds(lambda: run(alpha, 0.1, trial))
    count = max(1, int(budget / taken * trial))
    rates: dict[float, float] = {}

    def descended(weight: float) -> float:
        def at(rate: float) -> float:
            return float(quality(run(weight, rate, count), images).mean())

        rates[weight], score = best_on_grid(0.05, at)
        return score

    weight, _ = best_on_grid(alpha, descended)
    other = quality(run(weight, rates[weight], count), images)
    return {
        "outputs": outputs,
        "noise": noise,
        "budget_seconds": budget,
        "invert": {
            "alpha": alpha,
            "psnr": quality(result.x, images).tolist(),
            "iterations": result.iterations,
            "converged": result.converged,
        },
        "adam": {
            "alpha": weight,
            "rate": rates[weight],
            "psnr": other.tolist(),
            "iterations": count,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", default="512,2048")
    parser.add_argument("--noise", default="0,0.05,0.5")
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
            for method in ("invert", "adam"):
                shown = " ".join(f"{value:6.2f}" for value in row[method]["psnr"])
                print(
                    f"{outputs:5d} outputs  noise {noise:4.2f}  {method:6s} {shown} dB"
                    f"  {row[method]['iterations']:6d} steps  alpha "
                    f"{row[method]['alpha']:g}  {row['budget_seconds']:.1f} s",
                    flush=True,
                )
    write_report(options, "inversion.py", {"images": list(NAMES), "cells": cells})


if __name__ == "__main__":
    main()
