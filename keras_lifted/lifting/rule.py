"""The backward rule at an activation, and what that of stacks shares with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import gradient
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.scaling import Scale
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
    """Return derivatives of `Σ_i scale_i P` in the parameters of an activation.

    `d` are the displacements from which the rule pulls, which need not be those that it
    moved by; `scale` is `c_i w`, one number or one for each sample.
    """
    if not parameters:
        return []
    s = penalty.origin(ProximalMap(call.activation, parameters), z) - d

    def function(*parameters: Tensor) -> tuple[Tensor, None]:
        sigma = ProximalMap(call.activation, parameters)
        value = penalty.drive(sigma, s, z, d)
        return ops.sum(ops.reshape(scale, (-1,)) * value), None

    return gradient(function, parameters)[1]


def penalty_at(call: Call, penalty: Penalty, s: Tensor, z: Tensor) -> Tensor:
    """Return `P` at the carrier `s` and the pre-activation `z`, without weights."""
    sigma = ProximalMap.of(call.activation)
    value, rest = penalty.value(sigma, s, z), penalty.rest(sigma, z)
    return value if rest is None else value + rest


def moved(
    call: Call,
    z: Tensor,
    slots: tuple[Tensor, Tensor],
    move: Move,
    penalty: Penalty,
    scale: Scale,
    first: bool,
) -> Tensor:
    """Return `x`, with a backward rule that moves it and passes `c_i w ∂P/∂z` on.

    The gradients of `slots`, the current carrier and a number, are the new carrier,
    which `move` chooses, and the penalty weight. With `first` the carrier of the
    forward pass stands for the current one.
    """

    def lifted(z: Tensor, slot: Tensor, number: Tensor, *parameters: Tensor) -> Any:
        sigma = ProximalMap(call.activation, parameters)
        real = lifted_real(z)
        s = penalty.origin(sigma, real) if first else slot

        def backward(*upstream: Tensor) -> tuple[Tensor, ...]:
            at = scale.chosen(upstream[0], real)
            weight = at.like(real)
            q = lifted_real(upstream[0]) * (1.0 / weight)  # cheaper than a division
            new, displacement = move(call, sigma, s, real, q)
            there = real
            if scale.least is not None and call.activation.bent_at_zero:
                there = ops.where(real == 0, -1.0, real)  # the slope on the left
            pull = weight * penalty.pull(sigma, there, displacement)
            rest = parameter_gradient(
                call, penalty, parameters, real, displacement, weight
            )
            return ops.cast(pull, z.dtype), new, at.weight, *rest

        return ops.cast(penalty.point(sigma, s), z.dtype), backward

    return ops.custom_gradient(lifted)(z, *slots, *call.activation.parameters())
