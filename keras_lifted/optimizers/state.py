"""State that lifted training keeps on the optimizer, one entry per block."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.layers.base import sum_per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
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


@dataclasses.dataclass(frozen=True)
class LiftedState:
    """Optimizer variables of lifted training.

    Attributes:
        weight: penalty weights, `(blocks,)`; assign to them to anneal.
        curvature: curvature bounds of the lifted variables, `(blocks,)`.
        caution: factor on the step lengths of the lifted variables, halved
            when an energy rose all the same, `()`.
        gap: mean penalty of the last batch, `(blocks,)`.
        sample: some values of the last lifted variables, `(blocks, 256)`.
        iterations: updates per lifted variable in the last batch, `()`.
        residual: relative change in the last of them, `()`.
    """

    weight: keras.Variable
    curvature: keras.Variable
    caution: keras.Variable
    gap: keras.Variable
    sample: keras.Variable
    iterations: keras.Variable
    residual: keras.Variable

    @classmethod
    def build(
        cls,
        optimizer: keras.optimizers.Optimizer,
        blocks: Sequence[Block],
        penalty: Penalty,
    ) -> LiftedState:
        """Add the variables to `optimizer`."""
        count = len(blocks)
        weights = [_finite(penalty.weight_of(block.name)) for block in blocks]
        shapes: dict[str, tuple[int, ...]] = {
            "weight": (count,),
            "curvature": (count,),
            "caution": (),
            "gap": (count,),
            "sample": (count, SAMPLES),
            "iterations": (),
            "residual": (),
        }

        def given(shape: tuple[int, ...], dtype: Any = None) -> Tensor:
            return ops.convert_to_tensor(weights, dtype)

        ones = dict.fromkeys(("caution", "iterations", "residual"), "ones")
        initial = {"weight": given, **ones}
        variables = {
            name: optimizer.add_variable(
                shape,
                initializer=initial.get(name, "zeros"),
                dtype=real_dtype(),
                aggregation="mean",
                name=f"lifted_{name}",
            )
            for name, shape in shapes.items()
        }
        return cls(**variables)

    def record(self, problem: LiftedProblem, solution: Solution) -> None:
        """Keep what is shown of `solution`."""
        gap = [ops.zeros((), real_dtype())] * len(problem.blocks)
        sample = [ops.zeros((SAMPLES,), real_dtype())] * len(problem.blocks)
        for call in problem.structure.calls:
            sigma = ProximalMap.of(call.activation)
            carrier = _first(solution.last.carriers[call.key])
            gap[call.index] = gap[call.index] + solution.gaps[call.key]
            sample[call.index] = problem.penalty.point(sigma, carrier)
        self.gap.assign(ops.stack(gap))
        self.sample.assign(ops.stack([_exactly(s) for s in sample]))

    def take_care(
        self, problem: LiftedProblem, solution: Solution, curvature: Tensor
    ) -> None:
        """Keep what repeated updates need for the next batch.

        The steps become shorter if the energy rose before the last of these.
        They tell so exactly where nothing but the lifted variables moved in
        between, roughly where gaps are taken over a part of the batch. From stored
        lifted variables a rise was undone as well (`updates.iteration`).
        """
        self.curvature.assign(curvature)
        self.iterations.assign(lifted_real(solution.iterations))
        self.residual.assign(solution.residual)
        slack = 0.01 if problem.stored is None else 1e-5
        tolerated = slack * solution.start + 1e-5 * ops.sum(self.weight)
        rose = solution.left > solution.start + tolerated
        shorter, longer = self.caution * 0.5, self.caution * RECOVERY
        self.caution.assign(ops.clip(ops.where(rose, shorter, longer), LEAST, 1.0))

    def ascend(
        self, problem: LiftedProblem, solution: Solution, largest: float
    ) -> None:
        """Move the penalty weights, if the penalty does, up to `largest`."""
        sizes = [ops.zeros((), real_dtype())] * len(problem.blocks)
        for call in problem.structure.calls:
            sigma = ProximalMap.of(call.activation)
            carrier = solution.last.carriers[call.key][: problem.shown]
            x = problem.penalty.point(sigma, carrier)
            size = 0.5 * ops.mean(sum_per_sample(ops.square(x)))
            sizes[call.index] = sizes[call.index] + size
        weights = ops.convert_to_tensor(self.weight)
        moved = problem.penalty.ascend(weights, self.gap.value, ops.stack(sizes))
        if moved is weights:
            return
        given = [
            _finite(problem.penalty.weight_of(block.name)) for block in problem.blocks
        ]
        first = ops.convert_to_tensor(given, real_dtype())
        moved = ops.maximum(moved, FLOOR * first)
        moved = ops.minimum(moved, ops.maximum(first, largest))
        self.weight.assign(ops.where(ops.isfinite(moved), moved, weights))


def _finite(weight: float) -> float:
    return min(weight, 3e38)


def _first(carrier: Tensor) -> Tensor:
    """As few whole samples as hold the values that are kept."""
    per_sample = 1
    for size in carrier.shape[1:]:
        per_sample *= size or 1
    return carrier[: max(1, -(-SAMPLES // per_sample))]


def _exactly(values: Tensor) -> Tensor:
    """The first values, repeated where there are fewer."""
    flat = ops.reshape(values, (-1,))
    if flat.shape[0] is not None and flat.shape[0] >= SAMPLES:
        return flat[:SAMPLES]
    index = ops.arange(SAMPLES, dtype="int32") % ops.cast(ops.shape(flat)[0], "int32")
    return ops.take(flat, index)
