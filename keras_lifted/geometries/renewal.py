"""Inverse roots that are computed anew, the cheapest way that whitens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from keras_lifted.backend import cond
from keras_lifted.geometries.lockstep import finite_or
from keras_lifted.geometries.low_rank import low_rank
from keras_lifted.geometries.low_rank import whole
from keras_lifted.geometries.newton_schulz import damped
from keras_lifted.geometries.newton_schulz import inverse_root
from keras_lifted.geometries.refresh import EARLY
from keras_lifted.geometries.whiteness import WHITE
from keras_lifted.geometries.whiteness import whitens

Tensor = Any
State = dict[str, Tensor]

# Spread of eigenvalues up to which a root of low rank is taken before a whole one.
ALIKE = 0.2


def renewed(
    held: State, matrix: Tensor, damping: Any, rows: Any, batches: Tensor
) -> State:
    """`(A/m + damping·I)^(−1/2)`, anew where that held whitens no longer.

    One of low rank is taken where it whitens about as well as a whole one: that of
    the `A` of N samples leaves eigenvalues of a spread of `√(n/N)`. The first roots,
    which serve few steps, are of low rank.

    Args:
        held: "root", `(tiles, n, n)`; "back", what undoes it, or none; "basis",
            "low" and "rest" of a `LowRank` where n is large, a "rest" of zero
            meaning that it does not serve.
        matrix: `A`, symmetric and positive semidefinite, `(tiles, n, n)`.
        damping: relative to m, the mean eigenvalue of all `A`.
        rows: samples of a batch, a number.
        batches: so many of them `A` has seen, `()`; identities where that is 0.

    Returns:
        The new values of `held`.
    """

    def serves(root: Tensor, spread: Any) -> Tensor:
        return whitens(root, matrix, damping, spread)

    def identities() -> State:
        one = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
        one = ops.broadcast_to(one, matrix.shape)
        return _with(held, one, lambda: one)

    def anew() -> State:
        new = inverse_root(matrix, damping)
        return _with(held, new, lambda: ops.matmul(damped(matrix, damping), new))

    def of_low_rank(kept: Tensor) -> State:
        low = low_rank(matrix, damping, held["basis"])
        root = whole(low.rest, low.root, low.basis)
        new = _with(held, root, lambda: whole(1.0 / low.rest, low.back, low.basis))
        new.update(basis=low.basis, low=low.root, rest=low.rest)
        samples = ops.cast(rows, batches.dtype) * batches
        noise = ops.sqrt(matrix.shape[-1] / samples)
        spread = ops.where(batches < EARLY, np.inf, ops.maximum(ALIKE, noise))
        taken = serves(root, spread)
        chosen: State = cond(taken, lambda: new, lambda: of_any_rank(kept))
        return chosen

    def of_any_rank(kept: Tensor) -> State:
        chosen: State = cond(kept, lambda: dict(held), anew)
        return chosen

    def started() -> State:
        kept = serves(held["root"], WHITE)
        if "basis" not in held:
            return of_any_rank(kept)
        thin = ops.any(ops.greater(held["rest"], 0.0))
        best = ops.logical_and(thin, kept)
        chosen: State = cond(best, lambda: dict(held), lambda: of_low_rank(kept))
        return chosen

    new: State = cond(ops.greater(batches, 0.0), started, identities)
    return new


def _with(held: State, root: Tensor, back: Callable[[], Tensor]) -> State:
    """`held` with a root and what undoes it where these are finite, of any rank."""
    new = {**held, "root": finite_or(held["root"], root)}
    if "back" in held:
        new["back"] = finite_or(held["back"], back())
    if "rest" in held:
        new["rest"] = ops.zeros_like(held["rest"])
    return new
