"""State that lifted training keeps on the optimizer, one entry per block."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.precision import lifted_real, real_dtype
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.penalties.base import Penalty
from keras_lifted.updates.base import Solution

Tensor = Any

# Values of each lifted variable that are kept for histograms.
SAMPLES = 256
# Multipliers fall no lower than this part of the first one: short steps on the
# lifted variables make small gaps too, and then w falls, and the steps shorten.
FLOOR = 0.1
# The shortest factor on step lengths, and the way back from it.
LEAST = 1.0 / 64.0
RECOVERY = 1.02
LARGEST = 3e38


@dataclasses.dataclass(frozen=True)
class LiftedState:
    """Optimizer variables of lifted training.

    Methods return new values by name; `BlockCoordinateDescent.observe` assigns them.

    Attributes:
        weight: Variable, `(blocks,)`. Penalty weights, chosen ones those of the last
            batch; assign to them to anneal.
        curvature: Variable, `(blocks,)`. Curvature bounds of the lifted variables.
        caution: Variable, `()`. A factor on the step lengths of the lifted variables,
            halved when an energy rose all the same.
        iterations: Variable, `()`. The updates per lifted variable in the last batch.
        residual: Variable, `()`. The relative change in the last of them.
        gap: Variable, `(blocks,)`. The mean penalty of the last batch that was watched.
        size: Variable, `(blocks,)`. `mean_i ½‖x_i‖²` then, in the units of the gap.
        sample: Variable, `(blocks, 256)`. Some values of its lifted variables.
        first: tuple of float. The penalty weights at the start.
    """

    weight: keras.Variable
    curvature: keras.Variable
    caution: keras.Variable
    iterations: keras.Variable
    residual: keras.Variable
    gap: keras.Variable
    size: keras.Variable
    sample: keras.Variable
    first: tuple[float, ...] = ()

    @classmethod
    def build(
        cls, optimizer: keras.optimizers.Optimizer, weights: Sequence[float]
    ) -> LiftedState:
        """Add the variables to `optimizer`."""
        first = tuple(min(weight, LARGEST) for weight in weights)
        count = (len(first),)

        def add(name: str, shape: tuple[int, ...], initial: Any = "zeros") -> Any:
            return optimizer.add_variable(
                shape,
                initializer=initial,
                dtype=real_dtype(),
                aggregation="mean",
                name=f"lifted_{name}",
            )

        def given(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
            return ops.reshape(ops.convert_to_tensor(first, dtype), shape)

        return cls(
            add("weight", count, given),
            add("curvature", count),
            add("caution", (), "ones"),
            add("iterations", (), "ones"),
            add("residual", (), "ones"),
            add("gap", count),
            add("size", count),
            add("sample", (*count, SAMPLES)),
            first,
        )

    def chosen_weights(
        self, problem: LiftedProblem, solution: Solution
    ) -> dict[str, Tensor]:
        """Return the weights that the sweep took; of several calls the largest."""
        weights: dict[int, Tensor] = {}
        for call in problem.structure.calls:
            weight = solution.last.weights[call.key]
            before = weights.get(call.index, weight)
            weights[call.index] = ops.maximum(before, weight)
        every = [weights.get(i, self.weight[i]) for i in range(len(self.first))]
        return {"weight": ops.stack(every)}

    def steps(
        self, problem: LiftedProblem, solution: Solution, curvature: Tensor
    ) -> dict[str, Tensor]:
        """Return what repeated updates need for the next batch.

        The steps become shorter if the energy rose before the last of these.
        From stored lifted variables a rise was undone as well
        (`updates.iteration`).
        """
        slack = 0.01 if problem.stored is None else 1e-5
        tolerated = slack * solution.start + 1e-5 * ops.sum(self.weight)
        rose = solution.left > solution.start + tolerated
        shorter, longer = self.caution * 0.5, self.caution * RECOVERY
        return {
            "curvature": curvature,
            "iterations": lifted_real(solution.iterations),
            "residual": solution.residual,
            "caution": ops.clip(ops.where(rose, shorter, longer), LEAST, 1.0),
        }

    def gaps(self, problem: LiftedProblem, solution: Solution) -> dict[str, Tensor]:
        """Return gaps of all blocks, and the sizes of their lifted variables."""
        gaps = [lifted_real(0.0)] * len(self.first)
        sizes = list(gaps)
        of_calls = solution.gaps(problem)
        for call, x in solution.lifted(problem):
            gaps[call.index] = gaps[call.index] + of_calls[call.key]
            size = 0.5 * ops.mean(sum_per_sample(ops.square(x)))
            sizes[call.index] = sizes[call.index] + size
        return {"gap": ops.stack(gaps), "size": ops.stack(sizes)}

    def multipliers(
        self, penalty: Penalty, gap: Tensor, size: Tensor, most: float
    ) -> dict[str, Tensor]:
        """Return penalty weights that the penalty moves, up to `most`."""
        first = lifted_real(self.first)
        moved = penalty.ascend(ops.convert_to_tensor(self.weight), gap, size)
        moved = ops.maximum(moved, FLOOR * first)
        return {"weight": ops.minimum(moved, ops.maximum(first, most))}

    def samples(self, problem: LiftedProblem, solution: Solution) -> dict[str, Tensor]:
        """Return some values of the lifted variables."""
        some = [ops.zeros((SAMPLES,), real_dtype())] * len(self.first)
        for call, x in solution.lifted(problem):
            some[call.index] = _exactly(x)
        return {"sample": ops.stack(some)}


def _exactly(values: Tensor) -> Tensor:
    """Return the first values, repeated where there are fewer."""
    flat = ops.reshape(values, (-1,))
    index = ops.arange(SAMPLES, dtype="int32") % ops.cast(ops.shape(flat)[0], "int32")
    return ops.take(flat, index)


def warn_of_heavy_weights(blocks: Sequence[Block], update: Any, penalty: Any) -> None:
    """Warn of penalty weights that an update or a penalty cannot resolve."""
    limiting = min([update, penalty], key=lambda each: each.largest_weight)
    largest = limiting.largest_weight
    given = {block.name: penalty.weight_of(block.name) for block in blocks}
    heavy = {n: w for n, w in given.items() if largest < w < float("inf")}
    if heavy:
        warnings.warn(
            f"{type(limiting).__name__} resolves penalty weights up to {largest:g}: "
            "above, what the loss changes in the lifted variables is lost to float32 "
            f"rounding. Received: {heavy}. Lower them, or use the Sweep with another "
            "penalty, which loses no digits.",
            stacklevel=3,
        )
