"""What is found out about a network before it is inverted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.scope import Answer

Tensor = Any

# How far from affine an affine function is in float32.
_ROUNDING = 1e-3


def is_affine(z: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> bool:
    """Return whether `z(a + b) + z(0) = z(a) + z(b)` for noise of two sizes."""
    rng = np.random.default_rng(0)
    for size in (0.1, 10.0):
        a, b = size * rng.standard_normal((2, *shape))
        first, second, none = z(a), z(b), z(0 * a)
        error = np.abs(z(a + b) + none - first - second).max()
        scale = np.abs(first - none).max() + np.abs(second - none).max()
        if not error <= _ROUNDING * scale:
            return False
    return True


class Probe:
    """What `curvature` reads of a problem, with `½‖z_L‖²` as its loss.

    Args:
        problem: the inverse problem.
        values: of the network's variables.
        u: inputs to probe at.
    """

    def __init__(self, problem: Any, values: list[Tensor], u: Tensor) -> None:
        self._problem = problem
        self.structure = problem.structure
        self.blocks = problem.blocks
        self.batch = Batch(lifted_real(u), None, None, ("sum",))
        self.values = values
        hidden = {call.index: problem.weight(call) for call in problem.hidden}
        weights = [hidden.get(index, 1.0) for index in range(len(self.blocks))]
        self.weights = ops.convert_to_tensor(weights, dtype=real_dtype())

    def run(
        self, answer: Answer, values: list[Tensor], batch: Batch
    ) -> tuple[Tensor, None, None]:
        """Return half the squared norm of the pre-activations of the output."""
        z = self._problem._pre_activation(values, answer, batch.x)
        return 0.5 * ops.sum(ops.square(lifted_real(z))), None, None
