"""The factor on the regularizer, from the noise of the data.

With `δ² = m std²/2` for m data of the standard deviation std, the expected fidelity
of the true input:

* the theorem's rule `alpha = √2 δ/‖v‖`, for which the error in the Bregman distance
  of R falls like δ. `v`, with `Wᵀv ∈ ∂R(u)` at the true input, is estimated by
  `v = (y − σ(z))/alpha` of a first inversion, where that inclusion holds for its own
  result,
* the discrepancy principle: the alpha for which `‖σ(z) − y‖ = √(2δ²)`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from keras import ops

from keras_lifted.inversion.solver import Solver
from keras_lifted.inversion.solver import Stats

Array = Any

# Rounds of the search for the discrepancy, and how close to it is enough.
_ROUNDS = 16
_CLOSE = 0.02
# A step of the search that has not yet found both sides.
_FACTOR = 8.0


def expected(solver: Solver, noise: Array) -> Array:
    """`√2 δ = std √m`: the expected norm of the noise, `(batch,)`."""
    return noise * np.sqrt(np.prod(solver.y.shape[1:]))


def pilot(solver: Solver, noise: Array) -> Array:
    """A first guess, `std ‖W‖ / weight`: noise as the regularizer sees it."""
    slope = float(np.sqrt(ops.convert_to_numpy(solver.lipschitz)))
    soft = [t.weight for t in solver.steps.regularizer.terms if not t.constraint]
    return noise * slope / max(soft, default=1.0)


def theorem(solver: Solver, noise: Array, source: float | None, steps: int) -> Array:
    """`√2 δ/‖v‖`, `(batch,)`.

    Args:
        solver: at its start.
        noise: standard deviation of the data, `(batch,)`.
        source: `‖v‖`, if it is known.
        steps: of the first inversion.
    """
    target = expected(solver, noise)
    if source is not None:
        return target / source
    alpha = pilot(solver, noise)
    found = solver.run(alpha, steps)["data_residual"]
    return alpha * target / np.maximum(found, 1e-12 * target)


def discrepancy(solver: Solver, noise: Array, steps: int) -> Array:
    """The alpha whose inversion leaves `‖σ(z) − y‖ = √2 δ`, `(batch,)`.

    The residual grows with alpha: factors of 8 until both sides are known, then
    regula falsi in logarithms. Each inversion starts from the last.
    """
    target = np.log(expected(solver, noise))
    at = np.log(pilot(solver, noise))
    low = np.full_like(at, -np.inf)
    high = np.full_like(at, np.inf)
    below, above = np.zeros_like(at), np.zeros_like(at)
    best, error = at.copy(), np.full_like(at, np.inf)
    for _ in range(_ROUNDS):
        stats: Stats = solver.run(np.exp(at), steps)
        miss = np.log(np.maximum(stats["data_residual"], 1e-30)) - target
        closer = np.abs(miss) < error
        best, error = np.where(closer, at, best), np.where(closer, np.abs(miss), error)
        if (error < _CLOSE).all():
            return np.exp(best)
        small = miss < 0
        low, below = np.where(small, at, low), np.where(small, miss, below)
        high, above = np.where(small, high, at), np.where(small, above, miss)
        at = _next(at, low, high, below, above)
    warnings.warn(
        "No alpha found whose residual is that of the noise in all samples: expected "
        f"{np.exp(target).max():.3g}, still off by up to {np.expm1(error.max()):.0%}. "
        "Is `noise` the standard deviation of the data, can the network explain them, "
        "and were `steps` enough?",
        stacklevel=3,
    )
    return np.exp(best)


def _next(
    at: Array,
    low: Array,
    high: Array,
    below: Array,
    above: Array,
) -> Array:
    """The next logarithm to try; for those that are found it hardly matters."""
    both = np.isfinite(low) & np.isfinite(high)
    left, right = np.where(both, low, 0.0), np.where(both, high, 1.0)
    share = np.where(both, below / np.where(both, below - above, 1.0), 0.5)
    inside = left + np.clip(share, 0.1, 0.9) * (right - left)
    outside = np.where(np.isfinite(low), at + np.log(_FACTOR), at - np.log(_FACTOR))
    return np.where(both, inside, outside)
