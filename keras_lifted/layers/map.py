"""A proximal activation with its parameters bound: a pure proximal map."""

from __future__ import annotations

import dataclasses

from keras import ops

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.gradients import per_sample_antiderivative, sum_per_sample
from keras_lifted.layers.precision import Tensor, as_real

# Relative displacements below which a trapezoidal rule beats a difference.
NEAR = 1e-3


@dataclasses.dataclass(frozen=True)
class ProximalMap:
    """`σ` of an activation at explicit parameters, as custom gradients need them."""

    activation: ProximalActivation
    parameters: tuple[Tensor, ...]

    @classmethod
    def of(cls, activation: ProximalActivation) -> ProximalMap:
        """Return the map at the activation's current parameters."""
        return cls(activation, activation.parameters())

    def __call__(self, z: Tensor) -> Tensor:
        """Return `σ(z)`."""
        return self.activation.sigma(z, *self.parameters)

    def difference(self, z: Tensor, d: Tensor) -> Tensor:
        """Return `σ(z) − σ(z − d)`, without cancellation."""
        return self.activation.sigma_difference(z, d, *self.parameters)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """Return `argmin_x ½‖x − v‖² + step · Ψ(x)`."""
        return self.activation.scaled_prox(v, step, *self.parameters)

    def conjugate(self, z: Tensor) -> Tensor:
        """Return `F*(z)` of each sample, `(batch,)`."""
        if not self.parameters:
            return self.activation.conjugate(z)
        return sum_per_sample(self._conjugate_terms(as_real(z)))

    def bregman(self, s: Tensor, z: Tensor) -> Tensor:
        """Return `F*(z) − F*(s) − ⟨σ(s), z − s⟩` of each sample, `(batch,)`.

        A Bregman distance of F*, with the gradient `σ(z) − σ(s)` in `z`.
        Differences are taken term by term, before any sum, so that a small
        distance is not lost between two large conjugates; close to `z` it is
        `½⟨z − s, σ(z) − σ(s)⟩`, which loses no digits.
        """
        x = ops.stop_gradient(self(s))

        def exact(z: Tensor) -> Tensor:
            gap = self._conjugate_terms(z) - self._conjugate_terms(s)
            if self.activation.separable:
                return gap - x * (z - s)
            return sum_per_sample(gap) - sum_per_sample(x * (z - s))

        def terms(z: Tensor) -> Tensor:
            d = z - s
            near = 0.5 * d * self.difference(z, d)
            size, moved = ops.abs(z), ops.abs(d)
            if not self.activation.separable:
                axes = tuple(range(1, len(z.shape)))
                near = sum_per_sample(near)
                size, moved = (ops.max(each, axis=axes) for each in (size, moved))
            return ops.where(moved <= NEAR * size, near, exact(z))

        if self.parameters:
            return sum_per_sample(exact(z))
        return per_sample_antiderivative(terms, lambda z: self.difference(z, z - s), z)

    def _conjugate_terms(self, z: Tensor) -> Tensor:
        return self.activation.conjugate_terms(z, *self.parameters)
