"""What the backward rules at activations and at stacks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import gradient
from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.scope import Call
from keras_lifted.penalties.base import Penalty

Tensor = Any
# move(call, sigma, s, z, q) -> (the new carrier, the displacement that pulls)
Move = Callable[[Call, ProximalMap, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def parameter_gradient(
    call: Call,
    penalty: Penalty,
    parameters: tuple[Tensor, ...],
    z: Tensor,
    d: Tensor,
    scale: Tensor,
) -> list[Tensor]:
    """Derivatives of `Σ_i scale_i P` in the parameters of an activation.

    Args:
        call: of the activation.
        penalty: `P`.
        parameters: of the activation.
        z: pre-activations, `(batch, ...)`.
        d: displacements from which the rule pulls, which need not be those that
            it moved by.
        scale: `c_i w`, one number or one for each sample.
    """
    if not parameters:
        return []
    s = penalty.origin(ProximalMap(call.activation, parameters), z) - d

    def function(*parameters: Tensor) -> tuple[Tensor, None]:
        sigma = ProximalMap(call.activation, parameters)
        value = penalty.drive(sigma, s, z, d)
        return ops.sum(ops.reshape(scale, (-1,)) * value), None

    return gradient(function, parameters)[1]
