"""The parts of the energy, measured at given lifted variables."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.swept import Lifted
from keras_lifted.lifting.swept import Swept

Tensor = Any


def gaps(problem: LiftedProblem, coordinates: Lifted, z_of: Lifted) -> Lifted:
    """Return the mean penalty `mean_i P(x_i, z_i)` of each call."""
    return {
        call.key: ops.mean(_penalty(problem, call, coordinates, z_of))
        for call in problem.structure.calls
    }


def energy_at(problem: LiftedProblem, swept: Swept, coordinates: Lifted) -> Tensor:
    """Return loss and penalties where `swept` met the lifted variables."""
    energy = ops.sum(swept.loss) + z_terms_of(problem, swept)
    for call in problem.structure.calls:
        value = _penalty(problem, call, coordinates, swept.z)
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


def _penalty(
    problem: LiftedProblem, call: Call, coordinates: Lifted, z_of: Lifted
) -> Tensor:
    sigma = ProximalMap.of(call.activation)
    value = problem.penalty.value(sigma, coordinates[call.key], z_of[call.key])
    return ops.maximum(value, 0.0)


def _weighed(problem: LiftedProblem, call: Call, swept: Swept, value: Tensor) -> Tensor:
    """Return `Σ_i c_i w value_i`, in the units of the user's loss."""
    scale = problem.scale(call)
    weight = swept.weights.get(call.key, scale.weight)
    c = scale.c / problem.loss_scale
    return weight * ops.sum(c * value)
