"""The energy of a batch at given lifted variables and weights.

E(W, X) = Σ_i c_i [ ℓ(y_i, z_L,i) + Σ_l w_l P_l(x_l,i, z_l,i) ]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.rule import penalty_at
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.swept import Lifted

Tensor = Any


def energy(
    problem: LiftedProblem, coordinates: Lifted, weights: Sequence[Tensor]
) -> Tensor:
    """Return `E` in the units of the loss; its gradient in the weights is exact.

    Args:
        problem: LiftedProblem. Of the batch; its blocks are not stacks.
        coordinates: dict. The coordinates of the lifted variables, by key of the call.
        weights: sequence of tensors. Values of the trainable variables.
    """
    penalties: list[Tensor] = []

    def answer(call: Call, z: Tensor) -> Tensor:
        if call.key not in coordinates:
            return call.function(z)
        s = ops.stop_gradient(coordinates[call.key])
        x = problem.penalty.point(ProximalMap.of(call.activation), s)
        value = penalty_at(call, problem.penalty, s, lifted_real(z))
        penalties.append(ops.sum(problem.scale(call).like(value) * value))
        return ops.cast(ops.stop_gradient(x), z.dtype)

    loss, _, _ = problem.run(answer, weights, problem.batch)
    return loss + sum(penalties) / problem.loss_scale
