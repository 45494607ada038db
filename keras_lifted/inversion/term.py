"""The parts of an objective that enter by their proximal maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import NamedTuple

from keras import ops

from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.regularizers.base import Regularizer

Tensor = Any

# A proximal step so short that it only projects onto the domain.
_SHORT = 1e-6
# The least distance from a domain that is not 0.
_LEAST = 1e-30


class Term(NamedTuple):
    """`factor · h(A u)`, convex, with a proximal map of `h`.

    Attributes:
        operator: `u -> A u`, affine.
        bound: an upper bound of `‖A‖²`, a number or `(batch,)`.
        source: the regularizer that h is, where A is the identity.
    """

    value: Callable[[Tensor], Tensor]
    prox: Callable[[Tensor, Tensor], Tensor]
    factor: Tensor
    operator: Callable[[Tensor], Tensor]
    bound: Any
    source: Regularizer | None = None

    @classmethod
    def of(cls, term: Regularizer, alpha: Tensor, shape: tuple[int, ...]) -> Term:
        """Return `alpha · weight · g(A u)`, for samples of this shape."""
        return cls(
            term.value,
            term.prox,
            alpha * term.weight,
            term.operator,
            term.operator_bound(shape),
            term if term.direct else None,
        )

    def weighted(self, v: Tensor) -> Tensor:
        """Return `factor · h(v)`, `(batch,)`."""
        return self.factor * self.value(v)

    def near(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return `weighted` at v, and how far v is outside of the domain of h.

        Where it is outside, the value is that of the nearest point: a proximal map
        keeps `A u` within the domain in the limit only.
        """
        value = self.weighted(v)
        nearest = self.prox(v, per_sample(ops.full_like(self.factor, _SHORT), v))
        away = ops.sqrt(sum_per_sample(ops.square(v - nearest))) + _LEAST
        finite = ops.isfinite(value)
        value = ops.where(finite, value, self.weighted(nearest))
        return value, ops.where(finite, 0.0, away)
