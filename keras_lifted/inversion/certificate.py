"""How far an objective is at most from its minimum: the duality gap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.inversion.primal_dual import BALANCE
from keras_lifted.inversion.primal_dual import TINY
from keras_lifted.inversion.primal_dual import PrimalDual
from keras_lifted.inversion.primal_dual import dot
from keras_lifted.inversion.primal_dual import norm
from keras_lifted.inversion.term import Term
from keras_lifted.layers.precision import dtype_of
from keras_lifted.regularizers.base import Regularizer

Tensor = Any

# Where nothing bounds the minimiser it is looked for within so many times ‖u‖ of u,
# once the relative residual is below the second number.
REACH, SETTLED = 2.0, 0.1


def certificate(
    scheme: PrimalDual,
    regularizers: tuple[Regularizer | None, ...],
    gradient: Tensor,
    u: Tensor,
    duals: Any,
    objective: Tensor,
    residual: Tensor,
    fit: Callable[[Tensor], Tensor],
) -> Tensor:
    """Bound `P(u) − min P` of each sample from above, for `P = f + g + Σ h_i ∘ A_i`.

    For convex f with the gradient `∇f(u)`, for `p_i ∈ ∂h_i(ξ_i)` and `v ∈ ∂g(u⁺)` from
    one more step, every `w` has

        P(u) − P(w) ≤ Σ_i [h_i(A_i u) − h_i(ξ_i) − ⟨p_i, A_i u − ξ_i⟩]
                      + [g(u) − g(u⁺) − ⟨v, u − u⁺⟩] + ⟨e, u − w⟩,

    `e = ∇f(u) + Σ A_iᵀ p_i + v`: Fenchel-Young gaps, and what is left of the optimality
    conditions. At a minimiser w the regularizers bound `−⟨e, w⟩`, as `R(w) ≤ P(u)`.
    Where `g*` is finite everywhere it is taken at `−∇f(u) − Σ A_iᵀ p_i`, and e is 0.
    Where g is a norm, all dual variables are also taken times the s for which that is
    in its dual ball. As P is not negative, P(u) itself is a bound too; the least of
    them counts. `fit` maps s to the Fenchel-Young gap of f with its dual variable times
    s.
    """
    one = ops.ones_like(objective)
    p, points = scheme.dual(u, duals, BALANCE * one)
    gap, values = ops.zeros_like(objective), ops.zeros_like(objective)
    for term, dual, point in zip(scheme.duals, p, points, strict=True):
        image = term.image(u)
        value, _ = term.near(image)
        gap = gap + value - term.weighted(point) - dot(dual, image - point)
        values = values + value
    new, v = scheme.primal(u, gradient, p, one)
    slope = gradient + scheme.adjoint(u, p)
    exact = _conjugate_gap(scheme.direct, regularizers[0], slope, u)
    if scheme.direct is not None:
        direct = scheme.direct
        gap_of_u = direct.weighted(u) - direct.weighted(new) - dot(v, u - new)
    else:
        gap_of_u = ops.zeros_like(objective)
    error = slope + v
    # ⟨e, u − w⟩, where a regularizer bounds w, or else where it is looked for.
    near = REACH * norm(error) * norm(u)
    left = ops.where(residual < SETTLED, near, float("inf"))
    terms = (scheme.direct, *scheme.duals)
    for each, regularizer in zip(terms, regularizers, strict=False):
        if each is None or regularizer is None or not regularizer.direct:
            continue
        most = regularizer.support(-error, objective / each.factor)
        if most is not None:
            left = dot(error, u) + most
            break
    scaled: Tensor | float = float("inf")
    share = _share(scheme.direct, regularizers[0], slope)
    if scheme.direct is not None and share is not None:
        scaled = fit(share) + share * gap + (1.0 - share) * values
        scaled = scaled + scheme.direct.weighted(u) + share * dot(slope, u)
    gap = gap + ops.minimum(gap_of_u + ops.maximum(left, 0.0), exact)
    gap = ops.minimum(gap, scaled)
    rounding = (1e-14 if dtype_of(u) == "float64" else 1e-6) * objective
    return ops.minimum(ops.maximum(gap, 0.0) + rounding, objective)


def _share(
    direct: Term | None, regularizer: Regularizer | None, slope: Tensor
) -> Tensor | None:
    """Return the largest `s ≤ 1` with `g*(−s slope) = 0`, `(batch,)`, of a norm g."""
    if direct is None or regularizer is None:
        return None
    size = regularizer.dual_norm(slope)
    if size is None:
        return None
    return ops.minimum(direct.factor / ops.maximum(size, TINY), 1.0)


def _conjugate_gap(
    direct: Term | None, regularizer: Regularizer | None, slope: Tensor, u: Tensor
) -> Tensor | float:
    """Return `g(u) + g*(−slope) + ⟨slope, u⟩`; +∞ where `g*` may be infinite."""
    if direct is None or regularizer is None:
        return float("inf")
    found = regularizer.conjugate(-slope, direct.factor)
    if found is None:
        return float("inf")
    return direct.weighted(u) + found + dot(slope, u)
