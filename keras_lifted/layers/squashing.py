"""Smooth activations between two bounds."""

import math
from typing import final

import keras
from keras import ops

from keras_lifted.layers.base import Activation, Smooth
from keras_lifted.layers.formulas import (
    hypotenuse,
    hypotenuse_less_one,
    isru,
    isru_potential,
    isru_same_sign_difference,
    one_plus_x_log,
    restrict,
    xlogx,
)
from keras_lifted.layers.precision import Tensor, wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Sigmoid(Smooth):
    """`σ(z) = 1/(1 + e⁻ᶻ)`.

    `Ψ(x) = x log x + (1−x) log(1−x) − x²/2` on `0 ≤ x ≤ 1`, +∞ elsewhere;
    `F*(z) = log(1 + eᶻ)`. `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Sigmoid()(np.array([[0.0]]))).tolist()
    [[0.5]]
    """

    def slope(self, u: Tensor) -> Tensor:
        return ops.sigmoid(u) * ops.sigmoid(-u)

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.sigmoid(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.softplus(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        terms = xlogx(x) + one_plus_x_log(-x) - 0.5 * ops.square(x)
        return restrict((x >= 0) & (x <= 1), terms)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = ops.tanh(0.5 * z), ops.tanh(0.5 * (z - d))
        return 0.5 * ops.tanh(0.5 * d) * (1.0 - a * b)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Tanh(Smooth):
    """`σ(z) = tanh z`.

    `Ψ(x) = ½(1+x)log(1+x) + ½(1−x)log(1−x) − x²/2` on `|x| ≤ 1`, +∞ elsewhere;
    `F*(z) = log cosh z`. `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Tanh().conjugate([[0.0]])).tolist()
    [0.0]
    """

    def slope(self, u: Tensor) -> Tensor:
        return 1.0 - ops.square(ops.tanh(u))

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.tanh(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(z)
        return size + (ops.softplus(-2.0 * size) - math.log(2.0))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        terms = 0.5 * (one_plus_x_log(x) + one_plus_x_log(-x) - ops.square(x))
        return restrict(ops.abs(x) <= 1, terms)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return ops.tanh(d) * (1.0 - ops.tanh(z) * ops.tanh(z - d))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Arctan(Smooth):
    """`σ(z) = (2/π) arctan z`.

    `Ψ(x) = −(2/π) log cos(πx/2) − x²/2` on `|x| < 1`, +∞ elsewhere;
    `F*(z) = (2/π)(z arctan z − ½ log(1 + z²))`. `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Arctan()(np.array([[1.0]]))).tolist()
    [[0.5]]
    """

    def slope(self, u: Tensor) -> Tensor:
        root = hypotenuse(u)
        return (2.0 / math.pi) / root / root

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return (2.0 / math.pi) * ops.arctan(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return (2.0 / math.pi) * (z * ops.arctan(z) - ops.log(hypotenuse(z)))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(x)
        inside = size < 1
        # cos(π|x|/2), accurate where it is small
        cosine = ops.sin((0.5 * math.pi) * (1.0 - ops.where(inside, size, 0.0)))
        return restrict(
            inside, (-2.0 / math.pi) * ops.log(cosine) - 0.5 * ops.square(x)
        )

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return (2.0 / math.pi) * ops.arctan2(d, 1.0 + z * (z - d))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Softsign(Activation):
    """`σ(z) = z/(1 + |z|)`.

    `Ψ(x) = −|x| − log(1 − |x|) − x²/2` on `|x| < 1`, +∞ elsewhere;
    `F*(z) = |z| − log(1 + |z|)`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Softsign()(np.array([[-1.0, 3.0]]))).tolist()
    [[-0.5, 0.75]]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return z / (1.0 + ops.abs(z))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(z)
        return size - ops.log1p(size)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        size = ops.abs(x)
        inside = size < 1
        log = ops.log1p(-ops.where(inside, size, 0.0))
        return restrict(inside, -size - log - 0.5 * ops.square(x))

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        # u = σ⁻¹(x) > 0 solves step u² + (1 − |v|) u − |v| = 0, written in w = step u.
        size = ops.abs(v)
        half = 0.5 * (1.0 - size)
        root = ops.sqrt(ops.square(half) + step * size)
        w = ops.where(half > 0, step * size / (root + ops.abs(half)), root - half)
        return ops.sign(v) * w / (step + w)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        size_a, size_b = ops.abs(a), ops.abs(b)
        same = d / ((1.0 + size_a) * (1.0 + size_b))
        return ops.where(a * b >= 0, same, self.sigma(a) - self.sigma(b))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ISRU(Smooth):
    """`σ(z) = z/√(1 + z²)`.

    `Ψ(x) = 1 − x²/2 − √(1 − x²)` on `|x| ≤ 1`, +∞ elsewhere; `F*(z) = √(1 + z²) − 1`.
    `prox` is solved by Newton's method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.ISRU().conjugate([[0.0]])).tolist()
    [0.0]
    """

    def slope(self, u: Tensor) -> Tensor:
        root = hypotenuse(u)
        return 1.0 / root / root / root

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return isru(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return hypotenuse_less_one(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(ops.abs(x) <= 1, isru_potential(x))

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        a, b = z, z - d
        same = isru_same_sign_difference(a, b, d)
        return ops.where(a * b >= 0, same, isru(a) - isru(b))
