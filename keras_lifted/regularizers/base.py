"""The interface of every regularizer, and sums of them."""

from __future__ import annotations

import abc
import copy
from collections.abc import Sequence
from typing import Any, final

import keras

from keras_lifted import checks
from keras_lifted.arguments import Saved
from keras_lifted.layers.precision import as_real

Tensor = Any


class Regularizer(Saved, abc.ABC):
    """`R(u) = weight · g(A u)`: convex, with a proximal map of `g`, `A` linear.

    A regularizer of one's own writes `value` and `prox`. Where it is not `u` itself
    whose `g` is simple but some linear image of it, such as its differences, write
    `operator` and `operator_bound` too; the adjoint follows by reverse mode.

    `R + S` is a regularizer, and so is `3.0 * R`. `conjugate`, `support` and
    `dual_norm` are not needed; they make the certificate of `invert` sharper.

    Attributes:
        constraint: whether `g` is 0 or +∞; results of `invert` keep to one such set
            exactly, the first of those of u itself.
        valued: whether `prox` belongs to `value`. Where it does not, `invert` looks
            for a fixed point, as with a `Denoiser`.

    Args:
        weight: float. A positive factor. Defaults to 1.0.

    Raises:
        ValueError: If `weight` is not positive and finite.

    Source: Chambolle & Pock, "A first-order primal-dual algorithm for convex
    problems with applications to imaging", 2011, for regularizers of this form.

    Example: the squared distance from 1.

    >>> import keras_lifted as kl
    >>> from keras import ops
    >>> class NearOne(kl.regularizers.Regularizer):
    ...     def value(self, v):
    ...         return 0.5 * ops.sum(ops.square(v - 1.0), axis=range(1, len(v.shape)))
    ...     def prox(self, v, step):
    ...         return (v + step) / (1.0 + step)
    >>> float(NearOne(2.0)([[3.0]])[0])
    4.0
    """

    constraint = False
    valued = True

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = checks.positive(type(self).__name__, "weight", weight)

    @abc.abstractmethod
    def value(self, v: Tensor) -> Tensor:
        """Return `g(v)` of each sample, without the weight, `(batch,)`."""

    @abc.abstractmethod
    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """Return `argmin_w ½‖w − v‖² + step · g(w)`.

        Args:
            v: tensor, `(batch, …)`. It has the shape of `operator(u)`.
            step: tensor. It is positive and broadcasts against `v`, one for each
                sample.
        """

    def operator(self, u: Tensor) -> Tensor:
        """Return `A u`; `u` itself by default."""
        return u

    def operator_bound(self, shape: tuple[int, ...]) -> float:
        """Return an upper bound of `‖A‖²` for samples of this shape."""
        return 1.0

    def conjugate(self, v: Tensor, factor: Tensor) -> Tensor | None:
        """Return `sup_u ⟨v, u⟩ − factor · g(u)`, `(batch,)`; None if it may be +∞."""
        return None

    def support(self, v: Tensor, level: Tensor) -> Tensor | None:
        """Return the largest `⟨v, u⟩` with `g(u) ≤ level`, `(batch,)`, or None."""
        dual = self.dual_norm(v)
        return None if dual is None else level * dual

    def dual_norm(self, v: Tensor) -> Tensor | None:
        """Return the largest `⟨v, u⟩` with `g(u) ≤ 1`, `(batch,)`, if g is a norm."""
        return None

    def __call__(self, u: Tensor) -> Tensor:
        """Return `R(u)` of each sample, `(batch,)`."""
        u = as_real(u)
        if len(u.shape) < 2:
            raise ValueError(
                f"{type(self).__name__} takes a batch of samples, (batch, …); add its "
                f"axis for a single one, u[None]. Received: shape {tuple(u.shape)}."
            )
        return sum(t.weight * t.value(t.operator(u)) for t in self.terms)

    @property
    def terms(self) -> tuple[Regularizer, ...]:
        """The regularizers whose sum this is."""
        return (self,)

    @property
    def variables(self) -> list[Any]:
        """Keras variables that `prox` reads."""
        return []

    @property
    def direct(self) -> bool:
        """Is `A` the identity, so that `prox` is that of R itself?"""
        return type(self).operator is Regularizer.operator

    def __add__(self, other: Regularizer) -> Regularizer:
        if not isinstance(other, Regularizer):
            return NotImplemented
        return Sum([*self.terms, *other.terms])

    def __mul__(self, factor: float) -> Regularizer:
        weight = checks.positive(type(self).__name__, "weight", self.weight * factor)
        if self.constraint:  # a multiple of 0 or +∞ is the same
            return self
        scaled = copy.copy(self)
        scaled.weight = weight
        return scaled

    def __rmul__(self, factor: float) -> Regularizer:
        return self * factor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Sum(Regularizer):
    """`R(u) = Σ_i R_i(u)`, what `+` makes of regularizers.

    Args:
        terms: sequence of regularizers. What is added.

    Raises:
        ValueError: If there is none, or one of them is not a regularizer.

    Example:

    >>> import keras_lifted as kl
    >>> total = kl.regularizers.L1(2.0) + kl.regularizers.Tikhonov(1.0)
    >>> float(total([[3.0]])[0])
    10.5
    """

    def __init__(self, terms: Sequence[Regularizer]) -> None:
        super().__init__()
        wrong = [term for term in terms if not isinstance(term, Regularizer)]
        if wrong or not terms:
            raise ValueError(
                "A sum takes a list of one or more keras_lifted.regularizers. "
                f"Received: {wrong or terms!r}"
            )
        self._terms = tuple(part for term in terms for part in term.terms)

    @property
    def terms(self) -> tuple[Regularizer, ...]:
        return self._terms

    def __mul__(self, factor: float) -> Regularizer:
        return Sum([term * factor for term in self._terms])

    def value(self, v: Tensor) -> Tensor:
        return self(v)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        raise ValueError(
            "A sum of regularizers has no proximal map in closed form; use those of "
            "its `terms`."
        )
