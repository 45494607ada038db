"""Adam through automatic differentiation, the baseline of the inversion benchmarks.

    min_u  ½‖network(u) − y‖² + alpha TV(u)

TV is differentiated with the square root of squares + 1e-8. Where the images are known
to lie in [0, 1], they are projected there after each step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from rates import best_on_grid
from report import now

import keras_lifted as kl
from keras_lifted.backend import compiled
from keras_lifted.backend import gradient
from keras_lifted.backend import while_loop

# (start, y, alpha, rate, steps) -> images
Descent = Callable[[Any, Any, Any, float, int], np.ndarray]


def adam(network: keras.Model, boxed: bool = False) -> Descent:
    """Images after so many steps; compiled once for every shape.

    Args:
        network: maps images to outputs.
        boxed: project onto [0, 1] after each step.
    """
    variation = kl.regularizers.TotalVariation()

    def objective(u: Any, y: Any, alpha: Any) -> tuple[Any, None]:
        fit = 0.5 * ops.sum(ops.square(network(u, training=False) - y))
        squares = ops.sum(ops.square(variation.operator(u)), axis=-1)
        smooth = ops.sum(ops.sqrt(squares + 1e-8), axis=(1, 2, 3))
        return fit + ops.sum(alpha * smooth), None

    def run(start: Any, y: Any, alpha: Any, rate: Any, steps: Any) -> Any:
        def body(k: Any, u: Any, m: Any, v: Any) -> tuple[Any, ...]:
            _, (slope,) = gradient(lambda u: objective(u, y, alpha), [u])
            m, v = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * ops.square(slope)
            k = k + 1.0
            step = (m / (1.0 - 0.9**k)) / (ops.sqrt(v / (1.0 - 0.999**k)) + 1e-8)
            u = u - rate * step
            return k, ops.clip(u, 0.0, 1.0) if boxed else u, m, v

        zero = ops.zeros_like(start)
        begin = (ops.zeros(()), start, zero, zero)
        return while_loop(lambda k, *_: k < steps, body, begin)[1]

    fast = compiled(run)

    def called(start: Any, y: Any, alpha: Any, rate: float, steps: int) -> np.ndarray:
        numbers = (start, y, alpha, float(rate), float(steps))
        tensors = (ops.convert_to_tensor(n, dtype="float32") for n in numbers)
        return ops.convert_to_numpy(fast(*tensors))

    return called


def tuned(
    score: Callable[[float, float], float], alpha: float, rate: float
) -> tuple[float, float]:
    """The alpha of the grid that scores best, each at its best rate of the grid.

    Args:
        score: of an alpha and a rate; the higher the better.
        alpha: where the search begins.
        rate: the same.
    """
    rates: dict[float, float] = {}

    def at_its_best(weight: float) -> float:
        near = list(rates.values())[-1] if rates else rate
        rates[weight], best = best_on_grid(near, lambda r: score(weight, r))
        return best

    weight, _ = best_on_grid(alpha, at_its_best)
    return weight, rates[weight]


def seconds(function: Callable[[], Any]) -> float:
    """Least time of three calls."""
    times = []
    for _ in range(3):
        begun = now()
        function()
        times.append(now() - begun)
    return min(times)
