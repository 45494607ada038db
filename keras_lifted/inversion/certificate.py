"""How far an objective is at most from its minimum: the duality gap."""

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.inversion.primal_dual import BALANCE, TINY, PrimalDual, dot, norm
from keras_lifted.layers.precision import dtype_of

Tensor = Any

# Where nothing bounds the minimiser it is looked for within so many times ‖u‖ of u,
# once the relative residual is below the second number.
REACH, SETTLED = 2.0, 0.1


def certificate(
    scheme: PrimalDual,
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
        image = term.operator(u)
        value, _ = term.near(image)
        gap = gap + value - term.weighted(point) - dot(dual, image - point)
        values = values + value
    new, v = scheme.primal(u, gradient, p, one)
    slope = gradient + scheme.adjoint(u, p)
    error = slope + v
    # ⟨e, u − w⟩, where a regularizer bounds w, or else where it is looked for.
    near = REACH * norm(error) * norm(u)
    left = ops.where(residual < SETTLED, near, float("inf"))
    for each in (scheme.direct, *scheme.duals):
        if each is not None and each.source is not None:
            most = each.source.support(-error, objective / each.factor)
            if most is not None:
                left = dot(error, u) + most
                break
    rest = ops.maximum(left, 0.0)
    others: list[Tensor] = []
    direct = scheme.direct
    if direct is not None and direct.source is not None:
        value = direct.weighted(u)
        rest = rest + value - direct.weighted(new) - dot(v, u - new)
        conjugate = direct.source.conjugate(-slope, direct.factor)
        if conjugate is not None:
            others.append(gap + value + conjugate + dot(slope, u))
        size = direct.source.dual_norm(slope)
        if size is not None:  # the largest share with g*(−share slope) = 0
            share = ops.minimum(direct.factor / ops.maximum(size, TINY), 1.0)
            scaled = fit(share) + share * gap + (1.0 - share) * values
            others.append(scaled + value + share * dot(slope, u))
    gap = gap + rest
    for other in others:
        gap = ops.minimum(gap, other)
    rounding = (1e-14 if dtype_of(u) == "float64" else 1e-6) * objective
    return ops.minimum(ops.maximum(gap, 0.0) + rounding, objective)
