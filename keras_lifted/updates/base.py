"""The interface of every update of the lifted variables."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from keras_lifted.lifting.problem import Forward
from keras_lifted.lifting.problem import Lifted
from keras_lifted.lifting.problem import LiftedProblem

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Solution:
    """Lifted variables of one batch, and the weight gradients at them.

    Attributes:
        forward: the forward pass it started from.
        carriers: carriers of the lifted variables, by call.
        gaps: mean penalty of each call, where the weight gradients are taken.
        gradients: `∂E/∂θ`, one for each trainable variable.
        energy: the energy there, in the units of the user's loss.
        iterations: updates of every lifted variable, a scalar.
        residual: relative change in the last of them, a scalar; 1 where no
            tolerance asks for it.
    """

    forward: Forward
    carriers: Lifted
    gaps: Lifted
    gradients: list[Tensor]
    energy: Tensor
    iterations: Tensor
    residual: Tensor


class LiftedUpdate(abc.ABC):
    """Chooses the lifted variables of a batch, given the weights.

    Attributes:
        needs_curvature: whether `solve` reads curvature bounds.
    """

    needs_curvature = True

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
