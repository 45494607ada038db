"""The interface of every update of the lifted variables."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting import measures
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.swept import Lifted
from keras_lifted.lifting.swept import Swept

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
        iterations: Tensor | None = None,
        residual: Tensor | None = None,
        carriers: Lifted | None = None,
        start: Tensor | None = None,
    ) -> Solution:
        """The solution that ends with the sweep `last`.

        Args:
            problem: what was solved.
            forward: the sweep from the forward pass.
            last: the sweep that took the weight gradients; it may be `forward`.
            iterations: updates of every lifted variable; None for one.
            residual: relative change in the last of them; None for 1.
            carriers: those that `last` moved; None for the forward pass.
            start: the energy it started from; None for that of `forward`.
        """
        one = ops.ones((), real_dtype())
        gaps = measures.gaps(problem, last.carriers, last.z)
        if start is None:
            start = forward.loss + measures.rest_of(problem, forward.z)
        rest = measures.rest_of(problem, last.z)
        left = start
        if carriers is not None:
            before = measures.gaps(problem, carriers, last.z)
            left = last.loss + measures.penalty_of(problem, before) + rest
        return cls(
            forward,
            last,
            gaps,
            last.loss + measures.penalty_of(problem, gaps) + rest,
            start,
            left,
            one if iterations is None else iterations,
            one if residual is None else residual,
        )

    def less(self, free: Solution) -> Solution:
        """This solution, clamped by the loss, less a free one of the same batch.

        Weight gradients and `energy` are differences, `start` and `left` sums,
        everything else is that of the clamped phase.
        """
        gradients = [
            None if clamped is None else clamped - unclamped
            for clamped, unclamped in zip(
                self.last.gradients, free.last.gradients, strict=True
            )
        ]
        return dataclasses.replace(
            self,
            last=dataclasses.replace(self.last, gradients=gradients),
            energy=self.energy - free.energy,
            start=self.start + free.start,
            left=self.left + free.left,
        )


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

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this update again: attributes of their names."""
        return arguments_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LiftedUpdate:
        """The inverse of `get_config`."""
        return cls(**config)
