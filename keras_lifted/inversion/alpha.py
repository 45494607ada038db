"""The factor on the regularizer, from the noise of the data.

With `δ² = m std²/2` for m data of the standard deviation std, the expected fidelity
of the true input:

* the theorem's rule `alpha = √2 δ/‖v‖`, for which the error in the Bregman distance
  of R falls like δ. `v`, with `Wᵀv ∈ ∂R(u)` at the true input, is estimated by
  `v = (y − σ(z))/alpha` of a first inversion, where that inclusion holds for its own
  result,
* the discrepancy principle: the alpha for which `‖σ(z) − y‖ = √(2δ²)`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_lifted.checks import check_array, described
from keras_lifted.inversion.checks import check_positive
from keras_lifted.regularizers.base import Regularizer

Array = Any
# Maps alpha to the `‖σ(z) − y‖` that its inversion leaves, `(batch,)` both.
Run = Callable[[Array], Array]

# Rounds of the search for the discrepancy, and how close to it is enough.
_ROUNDS = 16
_CLOSE = 0.02
# A step of the search that has not yet found both sides, and the relative change of
# the residual below which such a step finds nothing new.
_FACTOR = 8.0
_SAME = 1e-3


def strength(
    y: np.ndarray,
    alpha: Any,
    noise_std: Any,
    rule: str | None,
    source: Any,
    regularizer: Regularizer,
    weighted: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Return alpha or None, the noise of samples, and weights of entries.

    A map of the noise makes weights of `1/noise_std²`, and the noise 1 in its unit.
    `weighted` says whether the fidelity takes one.
    """
    batch, weight, given = (len(y),), np.ones((1,) * y.ndim), None
    if alpha is not None or noise_std is None:
        fix = "the regularizer needs some weight"
        given = check_positive("alpha", 1.0 if alpha is None else alpha, batch, fix)
    if noise_std is None:
        if rule is not None or source is not None:
            raise ValueError(
                "`alpha_rule` and `source` choose alpha from `noise_std`, the "
                "standard deviation of y; pass it. Received: noise_std=None, "
                f"alpha_rule={rule!r}, source={source!r}."
            )
        return given, np.full(batch, np.nan), weight
    if not any(t.valued and not t.constraint for t in regularizer.terms):
        raise ValueError(
            "`noise_std` chooses the factor alpha on the regularizer, but constraints "
            "and denoisers have no weight to choose. Leave it out, or add a "
            "regularizer such as TotalVariation() or Tikhonov()."
        )
    mapped = check_array("noise_std", noise_std).ndim == y.ndim
    shape = y.shape if mapped else batch
    fix = f"or a map of the shape of y, {y.shape}; without noise pass a small `alpha`"
    noise = check_positive("noise_std", noise_std, shape, fix)
    if mapped and not weighted:
        raise ValueError(
            "A map of `noise_std` weights the outputs of the network. Pass "
            "fidelity=kl.inversion.LeastSquares(), which compares them."
        )
    if given is not None and not mapped:
        raise ValueError(
            "Pass `alpha`, or `noise_std` from which it is chosen, not both; a map "
            "of the shape of y may come with alpha, as it weights the fidelity. "
            f"Received: alpha={described(alpha)}, noise_std={described(noise_std)}"
        )
    if given is None and source is not None:
        check_positive("source", source, batch, "it is the norm of a vector")
    if mapped:
        return given, np.ones(batch), noise**-2.0
    return None, noise, weight


def theorem(run: Run, pilot: Array, target: Array, source: Any) -> Array:
    """Return `√2 δ/‖v‖`, `(batch,)`; `source` is `‖v‖`, if it is known."""
    if source is not None:
        return target / source
    return pilot * target / np.maximum(run(pilot), 1e-12 * target)


def discrepancy(run: Run, pilot: Array, target: Array) -> Array:
    """Return the alpha whose inversion leaves `‖σ(z) − y‖ = √2 δ`, `(batch,)`.

    The residual grows with alpha: factors of 8 until both sides are known, then
    regula falsi in logarithms. Where the residual stays below the noise however large
    alpha is, the regularizer alone explains the data.
    """
    at = best = np.log(pilot)
    low, high = np.full_like(at, -np.inf), np.full_like(at, np.inf)
    below, above, error = np.zeros_like(at), np.zeros_like(at), np.full_like(at, np.inf)
    alone = np.zeros(len(at), bool)
    for _ in range(_ROUNDS):
        miss = np.log(np.maximum(run(np.exp(at)), 1e-30)) - np.log(target)
        closer = (np.abs(miss) < error) & ~alone
        best = np.where(closer, at, best)
        error = np.where(closer, np.abs(miss), error)
        small = miss < 0
        same = np.abs(miss - below) < _SAME
        alone |= small & np.isfinite(low) & ~np.isfinite(high) & same
        if ((error < _CLOSE) | alone).all():
            break
        low, below = np.where(small, at, low), np.where(small, miss, below)
        high, above = np.where(small, high, at), np.where(small, above, miss)
        at = _next(at, low, high, below, above)
    if alone.any():
        warnings.warn(
            f"Samples {first_of(np.flatnonzero(alone))}: the regularizer alone "
            "explains the data within `noise_std`, however large alpha is. Is "
            "`noise_std` the standard deviation of y?",
            stacklevel=4,
        )
    missed = np.flatnonzero((error >= _CLOSE) & ~alone)
    if missed.size:
        warnings.warn(
            "No alpha found whose residual is that of the noise in samples "
            f"{first_of(missed)}: still off by up to "
            f"{np.expm1(error[missed].max()):.0%}. Is `noise_std` the standard "
            "deviation of the data, can the network explain them, and were "
            "`max_steps` enough?",
            stacklevel=4,
        )
    return np.exp(best)


def first_of(samples: Array) -> str:
    """Return the first of these numbers, for a warning."""
    shown = ", ".join(map(str, samples[:10]))
    return shown + (", …" if len(samples) > 10 else "")


def _next(at: Array, low: Array, high: Array, below: Array, above: Array) -> Array:
    """Return the next logarithm to try; for those that are found it hardly matters."""
    both = np.isfinite(low) & np.isfinite(high)
    left, right = np.where(both, low, 0.0), np.where(both, high, 1.0)
    share = np.where(both, below / np.where(both, below - above, 1.0), 0.5)
    inside = left + np.clip(share, 0.1, 0.9) * (right - left)
    outside = np.where(np.isfinite(low), at + np.log(_FACTOR), at - np.log(_FACTOR))
    return np.where(both, inside, outside)
