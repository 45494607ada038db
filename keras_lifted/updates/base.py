"""The interface of every update of the lifted variables."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from keras_lifted.lifting.problem import Lifted
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.problem import Swept

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Solution:
    """Lifted variables of one batch, and the weight gradients at them.

    Attributes:
        forward: the forward pass it started from.
        last: the sweep that chose the lifted variables and took the weight
            gradients: each block's from its inputs before that sweep and its
            lifted variable after it. From stored lifted variables, or in
            another order than from output to input, a pass that moves none
            and takes the gradients exactly at them.
        gaps: mean penalty `P(x, z)` of each call, in that pairing.
        energy: the loss of the last sweep, plus the penalties.
        start: the energy at the lifted variables it started from.
        left: the energy at the lifted variables before the last sweep.
        iterations: updates of every lifted variable, a scalar.
        residual: relative change in the last of them, a scalar; 1 where no
            tolerance asks for it.
    """

    forward: Swept
    last: Swept
    gaps: Lifted
    energy: Tensor
    start: Tensor
    left: Tensor
    iterations: Tensor
    residual: Tensor

    @classmethod
    def of(
        cls,
        problem: LiftedProblem,
        forward: Swept,
        last: Swept,
        iterations: Tensor,
        residual: Tensor,
        start: Tensor | None = None,
        left: Tensor | None = None,
    ) -> Solution:
        """The solution that ends with the sweep `last`."""
        gaps = problem.gaps(last.carriers, last.z)
        energy = last.loss + problem.penalty_of(gaps)
        start = forward.loss if start is None else start
        left = start if left is None else left
        return cls(forward, last, gaps, energy, start, left, iterations, residual)


class LiftedUpdate(abc.ABC):
    """Chooses the lifted variables of a batch, given the weights.

    Attributes:
        needs_curvature: whether `solve` reads curvature bounds.
        starts_anywhere: whether it can go on from stored lifted variables.
        default_weight: penalty weight where the user names no penalty.
        largest_weight: above it the lifted variables of repeated updates come
            so close to the forward pass that float32 cannot tell them apart.
    """

    needs_curvature = True
    starts_anywhere = True
    default_weight = 10.0
    largest_weight = 100.0

    @abc.abstractmethod
    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """Lifted variables of `problem`, and the weight gradients there.

        Args:
            problem: the lifted problem of the batch.
            curvature: bound `L_l` of each block, `(blocks,)`.
        """

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Arguments that make this update again."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LiftedUpdate:
        """The inverse of `get_config`."""
        return cls(**config)
