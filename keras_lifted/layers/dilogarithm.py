"""The dilogarithm `Li₂(y) = Σ yⁿ/n²`, as softplus needs it.

With `u = −log(1 − y)`, `Li₂(y) = Σ Bₙ uⁿ⁺¹/(n+1)!` (Bernoulli numbers), which
gains two digits per term for `|u| <= log 2`; Euler's reflection and inversion
bring every argument there.

Source: Lewin, "Polylogarithms and associated functions", 1981, chapter 1.
"""

import math
from typing import Any

from keras import ops

Tensor = Any

_BERNOULLI = (
    1 / 6,
    -1 / 30,
    1 / 42,
    -1 / 30,
    5 / 66,
    -691 / 2730,
    7 / 6,
    -3617 / 510,
)
# Bₙ/(n+1)! for n = 2, 4, ...
_COEFFICIENTS = tuple(
    bernoulli / math.factorial(2 * k + 3) for k, bernoulli in enumerate(_BERNOULLI)
)
_ZETA_2 = math.pi**2 / 6


def dilogarithm_of_log(u: Tensor) -> Tensor:
    """Return `Li₂(1 − e⁻ᵘ)` for `|u| <= log 2`."""
    square = ops.square(u)
    tail = _COEFFICIENTS[-1]
    for coefficient in reversed(_COEFFICIENTS[:-1]):
        tail = tail * square + coefficient
    return u * (1.0 - 0.25 * u + square * tail)


def minus_dilogarithm_of_minus_exp(z: Tensor) -> Tensor:
    """Return `−Li₂(−eᶻ)`, the antiderivative of softplus that vanishes at −∞."""
    near = -dilogarithm_of_log(-ops.softplus(-ops.abs(z)))
    far = 0.5 * ops.square(ops.maximum(z, 0.0)) + _ZETA_2 - near
    return ops.where(z > 0, far, near)


def dilogarithm_of_exp_less_zeta(x: Tensor) -> Tensor:
    """Return `Li₂(e⁻ˣ) − π²/6` for `x >= 0`; zero at zero, no NaN for `x < 0`."""
    x = ops.maximum(x, 0.0)
    small = ops.minimum(x, math.log(2.0))
    log_small = ops.log(ops.where(small > 0, -ops.expm1(-small), 1.0))
    near = small * log_small - dilogarithm_of_log(small)
    large = ops.maximum(x, math.log(2.0))
    far = dilogarithm_of_log(-ops.log1p(-ops.exp(-large))) - _ZETA_2
    return ops.where(x < math.log(2.0), near, far)
