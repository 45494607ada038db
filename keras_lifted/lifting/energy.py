"""The energy of a batch at given lifted variables and weights, and its parts.

E(W, X) = Σ_i c_i [ ℓ(y_i, z_L,i) + Σ_l w_l P_l(x_l,i, z_l,i) ]
"""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.swept import Lifted, Swept

Tensor = Any


def energy(
    problem: LiftedProblem, coordinates: Lifted, weights: Sequence[Tensor]
) -> Tensor:
    """Return `E` of a model without stacks; its gradient in the `weights` is exact."""
    penalties: list[Tensor] = []

    def answer(call: Call, z: Tensor) -> Tensor:
        if call.key not in coordinates:
            return call.function(z)
        penalty, sigma = problem.penalty, ProximalMap.of(call.activation)
        s, real = ops.stop_gradient(coordinates[call.key]), lifted_real(z)
        value, terms = penalty.value(sigma, s, real), penalty.z_terms(sigma, real)
        value = value if terms is None else value + terms
        penalties.append(ops.sum(problem.scale(call).like(value) * value))
        return ops.cast(ops.stop_gradient(penalty.point(sigma, s)), z.dtype)

    loss, _, _ = problem.run(answer, weights, problem.batch)
    return loss + sum(penalties) / problem.loss_scale


def energy_at(problem: LiftedProblem, swept: Swept, coordinates: Lifted) -> Tensor:
    """Return loss and penalties where `swept` met the lifted variables."""
    energy = ops.sum(swept.loss) + z_terms_of(problem, swept)
    for call in problem.structure.calls:
        value = _penalty(problem, call, coordinates, swept)
        energy = energy + _weighed(problem, call, swept, value)
    return energy


def z_terms_of(problem: LiftedProblem, swept: Swept) -> Tensor:
    """Return what the energy holds besides loss and gaps; 0 for most penalties."""
    total: Any = 0.0
    for call in problem.structure.calls:
        sigma = ProximalMap.of(call.activation)
        terms = problem.penalty.z_terms(sigma, swept.z[call.key])
        if terms is not None:
            total = total + _weighed(problem, call, swept, terms)
    return total


def mean_penalties(problem: LiftedProblem, swept: Swept) -> Lifted:
    """Return `mean_i P(x_i, z_i)` of each call, after the sweep."""
    return {
        call.key: ops.mean(_penalty(problem, call, swept.coordinates, swept))
        for call in problem.structure.calls
    }


def _penalty(
    problem: LiftedProblem, call: Call, coordinates: Lifted, swept: Swept
) -> Tensor:
    sigma = ProximalMap.of(call.activation)
    value = problem.penalty.value(sigma, coordinates[call.key], swept.z[call.key])
    return ops.maximum(value, 0.0)


def _weighed(problem: LiftedProblem, call: Call, swept: Swept, value: Tensor) -> Tensor:
    """Return `Σ_i c_i w value_i`, in the units of the user's loss."""
    scale = problem.scale(call)
    weight = swept.weights.get(call.key, scale.weight)
    return weight * ops.sum(scale.c / problem.loss_scale * value)
