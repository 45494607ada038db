"""A proximal activation with its parameters bound: a pure proximal map."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.base import as_real
from keras_lifted.layers.base import sum_per_sample

Tensor = Any


@dataclasses.dataclass(frozen=True)
class ProximalMap:
    """`σ` of an activation at explicit parameter values.

    Code that runs inside custom gradients takes parameters as arguments,
    never from variables; this view lets it still read like mathematics.
    """

    activation: ProximalActivation
    parameters: tuple[Tensor, ...]

    @classmethod
    def of(cls, activation: ProximalActivation) -> ProximalMap:
        """The map at the activation's current parameters."""
        return cls(activation, activation.parameters())

    def __call__(self, z: Tensor) -> Tensor:
        """`σ(z)`."""
        return self.activation.sigma(z, *self.parameters)

    def difference(self, z: Tensor, d: Tensor) -> Tensor:
        """`σ(z) − σ(z − d)`, without cancellation."""
        return self.activation.sigma_difference(z, d, *self.parameters)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """`argmin_x ½‖x − v‖² + step · Ψ(x)`."""
        return self.activation.scaled_prox(v, step, *self.parameters)

    def conjugate(self, z: Tensor) -> Tensor:
        """`F*(z)` of each sample, `(batch,)`."""
        if not self.parameters:
            return self.activation.conjugate(z)
        return sum_per_sample(
            self.activation.conjugate_terms(as_real(z), *self.parameters)
        )
