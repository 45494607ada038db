"""The interface of every update of the lifted variables."""

import abc
import dataclasses
from collections.abc import Iterator
from typing import Any, Self

from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.backend import dense
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.energy import energy_at, mean_penalties, z_terms_of
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.swept import Lifted, Swept

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Solution:
    """Lifted variables of one batch, and the weight gradients at them.

    Attributes:
        forward: Swept. The forward pass it started from.
        last: Swept. The sweep that chose the lifted variables and took the weight
            gradients: each block's from its inputs before that sweep and its lifted
            variable after it. From stored lifted variables, or in another order than
            from output to input, it is a pass that moves none and takes the gradients
            exactly at them.
        start: tensor, `()`. The energy at the lifted variables it started from.
        left: tensor, `()`. The energy at the lifted variables before the last sweep.
        iterations: tensor, `()`. The updates of every lifted variable.
        residual: tensor, `()`. The relative change in the last of them; 1 where no
            tolerance asks for it.
        free: Solution. That without the loss, of a contrastive penalty.
    """

    forward: Swept
    last: Swept
    start: Tensor
    left: Tensor
    iterations: Tensor
    residual: Tensor
    free: Self | None = None

    @classmethod
    def of(
        cls,
        problem: LiftedProblem,
        forward: Swept,
        last: Swept,
        iterations: Tensor = 1.0,
        residual: Tensor = 1.0,
        start: Tensor | None = None,
        left: Tensor | None = None,
    ) -> Self:
        """Return the solution that ends with the sweep `last`; it may be `forward`.

        `start` and `left` are the energy of the forward pass where they are not given.
        """
        if start is None:
            start = ops.sum(forward.loss) + z_terms_of(problem, forward)
        left = start if left is None else left
        return cls(forward, last, start, left, iterations, residual)

    @property
    def gradients(self) -> list[Tensor]:
        """Weight gradients; of a contrastive penalty clamped less free."""
        if self.free is None:
            return self.last.gradients
        return [
            None if clamped is None else dense(clamped) - dense(free)
            for clamped, free in zip(
                self.last.gradients, self.free.last.gradients, strict=True
            )
        ]

    def lifted(self, problem: LiftedProblem) -> Iterator[tuple[Call, Tensor]]:
        """Return each call and its lifted variable."""
        for call in problem.structure.calls:
            sigma = ProximalMap.of(call.activation)
            yield call, problem.penalty.point(sigma, self.last.coordinates[call.key])

    def gaps(self, problem: LiftedProblem) -> Lifted:
        """Return the mean penalty `P(x, z)` of each call, in the pairing of `last`."""
        return mean_penalties(problem, self.last)

    def relative_gap(self, problem: LiftedProblem) -> Tensor:
        """Return `√(P/½‖x‖²)` of means over samples, its mean over calls."""
        gaps = self.gaps(problem)
        ratios = [
            gaps[call.key] / (0.5 * ops.mean(sum_per_sample(ops.square(x))) + 1e-30)
            for call, x in self.lifted(problem)
        ]
        return ops.mean(ops.sqrt(ops.stack(ratios)))

    def energy(self, problem: LiftedProblem) -> Tensor:
        """Return loss and penalties of the last sweep; clamped less free."""
        energy = energy_at(problem, self.last, self.last.coordinates)
        return energy if self.free is None else energy - self.free.energy(problem)


class LiftedUpdate(Saved, abc.ABC):
    """Chooses the lifted variables of a batch, given the weights.

    Attributes:
        needs_curvature: bool. Whether `solve` reads curvature bounds.
        starts_anywhere: bool. Whether it can go on from stored lifted variables.
        default_weight: float. The penalty weight where the user gives none.
        chooses_weight: bool. Whether the sweep chooses the weight from the data, of at
            least `default_weight` (`lifting.rule.Scale`).
        largest_weight: float. Above it float32 cannot tell the lifted variables of
            repeated updates from the forward pass.
    """

    needs_curvature = True
    starts_anywhere = True
    chooses_weight = False
    default_weight = 10.0
    largest_weight = 100.0

    @abc.abstractmethod
    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """Return lifted variables of `problem`, and the weight gradients there.

        Args:
            problem: LiftedProblem. That of the batch.
            curvature: tensor, `(blocks,)`. The bound `L_l` of each block.
        """


def solve(update: LiftedUpdate, problem: LiftedProblem, curvature: Tensor) -> Solution:
    """Return the solution of `update`; a contrastive penalty has two phases."""
    if not problem.trainable:
        passed = problem.forward()
        return Solution.of(problem, passed, passed)
    if not problem.structure.calls:  # nothing to move
        swept = problem.sweep(lambda *_: (None, None), with_weights=True)
        return Solution.of(problem, swept, swept)
    solution = update.solve(problem, curvature)
    if not problem.penalty.contrastive:
        return solution
    free = update.solve(problem.free(), curvature)
    return dataclasses.replace(
        solution,
        free=free,
        start=solution.start + free.start,
        left=solution.left + free.left,
    )
