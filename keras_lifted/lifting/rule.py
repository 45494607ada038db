"""The backward rule at an activation, and `c_i w`, what a penalty weighs in it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Self

from keras import ops

from keras_lifted.backend import gradient
from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.scope import Call
from keras_lifted.penalties.base import Penalty

Tensor = Any
# move(call, sigma, s, z, q) -> (new coordinate, displacement of the gradient)
Move = Callable[[Call, ProximalMap, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

# How far a chosen weight lets a sweep move a pre-activation, relative to its size.
DISPLACEMENT = 1e-6
# From how many samples a weight is chosen, and from about how many numbers.
ROWS, NUMBERS = (2, 8), 2**15


@dataclasses.dataclass(frozen=True)
class Scale:
    """The factor `c_i w` of one block.

    Attributes:
        c: weight of the samples in the loss, one number or `(batch,)`.
        weight: the penalty weight `w` that was given, or that the state holds.
        least: None to take `weight` as it is. Else a weight that is at least this
            large is chosen from the data: as small as this, but no smaller than
            `mean|q| / (1e-6 · mean|z|)`, `q` the derivative of the loss of a sample
            in the output of the block. Then the step `q/w` is a small part of `z`
            whatever the units of the loss and of the inputs.
    """

    c: Tensor
    weight: Tensor
    least: float | None = None

    def like(self, tensor: Tensor) -> Tensor:
        """Return `c_i w`, broadcast against `tensor`."""
        return per_sample(self.c, tensor) * self.weight

    def chosen(self, q: Tensor, z: Tensor) -> Self:
        """Return this with the weight that a sweep takes; `q` is `∂E/∂x`."""
        if self.least is None:
            return self
        c = per_sample(self.c, q)
        fewest, most = ROWS
        of_a_sample = math.prod(size or 1 for size in z.shape[1:])
        rows = min(max(NUMBERS // of_a_sample, fewest), most)
        q = lifted_real(q[:rows]) / c[:rows]
        size = DISPLACEMENT * ops.sum(ops.abs(lifted_real(z[:rows])))
        needed = ops.sum(ops.abs(q)) / ops.where(size == 0, float("inf"), size)
        weight = ops.where(
            self.weight >= self.least, ops.maximum(needed, self.least), self.weight
        )
        return dataclasses.replace(self, weight=weight)


def parameter_gradient(
    penalty: Penalty, sigma: ProximalMap, z: Tensor, d: Tensor, scale: Tensor
) -> list[Tensor]:
    """Return derivatives of `Σ_i scale_i P` in the parameters of an activation.

    `d` are the displacements of the rule's gradients; `scale` is `c_i w`.
    """
    if not sigma.parameters:
        return []
    s = penalty.origin(sigma, z) - d

    def function(*parameters: Tensor) -> tuple[Tensor, None]:
        at = ProximalMap(sigma.activation, parameters)
        value = penalty.parameter_value(at, s, z, d)
        return ops.sum(ops.reshape(scale, (-1,)) * value), None

    return gradient(function, sigma.parameters)[1]


def moved(
    call: Call,
    z: Tensor,
    current: tuple[Tensor, Tensor],
    move: Move,
    penalty: Penalty,
    scale: Scale,
    first: bool,
) -> Tensor:
    """Return `x`, with a backward rule that moves it and passes `c_i w ∂P/∂z` on.

    The gradients of `current`, the current coordinate and a number, are the new
    coordinate and the penalty weight. With `first` it begins at the forward pass.
    """

    def lifted(z: Tensor, old: Tensor, number: Tensor, *parameters: Tensor) -> Any:
        sigma = ProximalMap(call.activation, parameters)
        real = ops.cast(z, old.dtype)
        s = penalty.origin(sigma, real) if first else old

        def backward(*upstream: Tensor) -> tuple[Tensor, ...]:
            at = scale.chosen(upstream[0], real)
            weight = at.like(real)
            q = ops.cast(upstream[0], old.dtype) * (1.0 / weight)  # beats a division
            new, displacement = move(call, sigma, s, real, q)
            there = real
            if scale.least is not None and call.activation.bent_at_zero:
                there = ops.where(real == 0, -1.0, real)  # the slope on the left
            slope = weight * penalty.z_gradient(sigma, there, displacement)
            slopes = parameter_gradient(penalty, sigma, real, displacement, weight)
            return ops.cast(slope, z.dtype), new, at.weight, *slopes

        return ops.cast(penalty.point(sigma, s), z.dtype), backward

    return ops.custom_gradient(lifted)(z, *current, *call.activation.parameters())
