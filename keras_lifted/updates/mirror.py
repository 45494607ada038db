"""Mirror (Bregman) steps on the lifted variables."""

from __future__ import annotations

from typing import Any
from typing import final

import keras

from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.updates.base import LiftedUpdate
from keras_lifted.updates.base import Solution
from keras_lifted.updates.checks import check_steps
from keras_lifted.updates.checks import check_tolerance
from keras_lifted.updates.iteration import Iteration
from keras_lifted.updates.order import OUTPUT_TO_INPUT
from keras_lifted.updates.order import check_order

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Mirror(LiftedUpdate):
    """`v_l ← (1−τ) v_l + τ (z_l − q_l)`, `x_l = σ(v_l)`, repeated.

    This is a step in the Bregman distance of F, which needs the activation alone, no
    scaled proximal map. `τ = 1/(1 + L_l/w_l)` with L from power iteration.

    Args:
        steps: int. The most updates of each lifted variable, at least 1. Defaults to 3.
        tolerance: float. It stops early once the relative change of a sweep is below
            this; 0 takes all steps. Defaults to 0.0.
        order: str. The order in which a round updates the blocks: "output_to_input" one
            after the other, "red_black" odd and even depths in turn, "jacobi" all at
            once. The last two take the weight gradients in a pass of their own.
            Defaults to "output_to_input".

    Raises:
        ValueError: If `steps`, `tolerance` or `order` is out of range.

    Source: Wang & Benning, JMLR 24(232), 2023, section 4.2 (dual form).

    Example:

    >>> import keras_lifted as kl
    >>> kl.updates.Mirror(steps=5).steps
    5
    """

    def __init__(
        self,
        steps: int = 3,
        tolerance: float = 0.0,
        order: str = OUTPUT_TO_INPUT,
    ) -> None:
        self.steps = check_steps(steps)
        self.tolerance = check_tolerance(tolerance)
        self.order = check_order(order)

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        def step(
            sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, rate: Tensor
        ) -> Tensor:
            tau = rate / (1.0 + rate)
            return s + tau * (problem.penalty.origin(sigma, z) - q - s)

        iteration = Iteration(step, self.steps, None, self.tolerance, self.order)
        return iteration.solve(problem, curvature)
