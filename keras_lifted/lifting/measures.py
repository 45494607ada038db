"""The parts of the energy, measured at given lifted variables."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.swept import Lifted

Tensor = Any


def gaps(problem: LiftedProblem, carriers: Lifted, z_of: Lifted) -> Lifted:
    """Mean penalty `mean_i P(x_i, z_i)` of each call.

    Taken over the first `shown` samples where that is set: in training it
    is only shown, and elementwise work on a whole batch costs time.
    """
    gaps = {}
    for call in problem.structure.calls:
        sigma = ProximalMap.of(call.activation)
        s, z = carriers[call.key][: problem.shown], z_of[call.key][: problem.shown]
        values = problem.penalty.value(sigma, s, z)
        gaps[call.key] = ops.mean(ops.maximum(values, 0.0))
    return gaps


def penalty_of(problem: LiftedProblem, gaps: Lifted) -> Tensor:
    """`Σ_l w_l P_l` in the units of the user's loss."""
    unit = ops.sum(problem.batch.scale * ops.ones((problem.batch.size,), real_dtype()))
    weighted = [
        problem.weights[call.index] * gaps[call.key] for call in problem.structure.calls
    ]
    return unit * sum(weighted)


def rest_of(problem: LiftedProblem, z_of: Lifted, shown: bool = True) -> Tensor:
    """What the energy holds besides loss and gaps; 0 for most penalties.

    Args:
        problem: of the batch.
        z_of: pre-activations.
        shown: over the samples of `gaps`, to be added to `penalty_of`;
            otherwise over all.
    """
    rests = {}
    for call in problem.structure.calls:
        z = z_of[call.key][: problem.shown] if shown else z_of[call.key]
        rest = problem.penalty.rest(ProximalMap.of(call.activation), z)
        if rest is None:
            return 0.0
        if shown:
            rests[call.key] = ops.mean(rest)
        else:
            rests[call.key] = ops.sum(problem.scale(call, rest) * rest)
    if shown:
        return penalty_of(problem, rests)
    return sum(rests.values()) / problem.loss_scale
