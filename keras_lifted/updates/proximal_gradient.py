"""Proximal gradient steps on the lifted variables."""

from __future__ import annotations

from typing import Any
from typing import final

import keras

from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.updates import acceleration as accelerations
from keras_lifted.updates.base import LiftedUpdate
from keras_lifted.updates.base import Solution
from keras_lifted.updates.checks import check_steps
from keras_lifted.updates.checks import check_tolerance
from keras_lifted.updates.iteration import Iteration

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ProximalGradient(LiftedUpdate):
    """`x_l ← prox_{μF}(x_l − μ(q_l − z_l))`, `μ ≤ 1/‖W_{l+1}‖²`, repeated.

    `steps` sweeps from output to input, the first from the forward pass.
    Step lengths come from power iteration on the children of each block, so
    the energy cannot increase; a step that would raise it is undone.

    Args:
        steps: the most updates of each lifted variable, at least 1.
        acceleration: None, "nesterov", "heavy_ball" or "adam".
        tolerance: stop early once the relative change of a sweep is below
            it; 0 takes all steps.

    Raises:
        ValueError: if `steps`, `acceleration` or `tolerance` is out of range.

    Source: Wang & Benning, JMLR 24(232), 2023, algorithm 1; Wang et al.,
    arXiv 2510.09796, section 4.

    Example:

    >>> import keras_lifted as kl
    >>> update = kl.updates.ProximalGradient(steps=3, acceleration="nesterov")
    >>> update.get_config()["steps"]
    3
    """

    def __init__(
        self,
        steps: int = 3,
        acceleration: str | None = None,
        tolerance: float = 0.0,
    ) -> None:
        self.steps = check_steps(steps)
        self.acceleration = acceleration
        self.tolerance = check_tolerance(tolerance)
        self._acceleration = accelerations.get(acceleration)

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """See `LiftedUpdate.solve`."""

        def step(
            sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, rate: Tensor
        ) -> Tensor:
            return problem.penalty.proximal(sigma, s, z, q, rate)

        iteration = Iteration(step, self.steps, self._acceleration, self.tolerance)
        return iteration.solve(problem, curvature)
