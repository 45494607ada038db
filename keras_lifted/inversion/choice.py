"""Which problem is solved for a network."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted import penalties
from keras_lifted.inversion.fidelity import Data
from keras_lifted.inversion.fidelity import Fidelity
from keras_lifted.inversion.network import Sourced
from keras_lifted.inversion.primal_dual import norm
from keras_lifted.inversion.problem import InverseProblem

Tensor = Any


def problems(
    network: Sourced, u: Tensor, penalty: Any, fidelity: Fidelity | None
) -> list[InverseProblem]:
    """Return the problem to solve, and the one that a start without gradient needs.

    With a penalty it is the lifted problem, and so it is where nothing is hidden: then
    it is convex. Otherwise it is the nested one, and the lifted one comes second: the
    nested one ends ahead at equal time, but from where units are silent it does not
    begin. Of the inputs `u` only the shape is used.
    """
    tie = penalties.Bregman(1.0) if penalty is None else penalties.get(penalty)
    lifted = InverseProblem(network, u, tie, fidelity)
    if penalty is not None or not lifted.hidden:
        return [lifted]
    nothing = penalties.Bregman(float("inf"))
    return [InverseProblem(network, u, nothing, fidelity), lifted]


def has_gradient(problem: InverseProblem, data: Data, u: Tensor) -> bool:
    """Return whether the gradient of the nested objective at u is not 0 for any sample.

    At 0 a network without biases has none where its first activation is a ReLU.
    """
    gradient, _ = problem.sweep(problem.values(), data, u, {}, {})
    return bool(ops.all(norm(gradient) > 0))


def name_of(problem: InverseProblem) -> str:
    """Return "convex", "lifted" or "nested"."""
    if problem.affine:
        return "convex"
    return "lifted" if problem.hidden else "nested"
