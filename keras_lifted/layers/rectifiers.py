"""Activations that leave positive numbers as they are."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.checks import check_number
from keras_lifted.layers.base import Activation, Smooth
from keras_lifted.layers.formulas import (
    hypotenuse,
    hypotenuse_less_one,
    isru,
    isru_potential,
    isru_same_sign_difference,
    one_plus_x_log,
    relu_difference,
    restrict,
)
from keras_lifted.layers.precision import Tensor, wide
from keras_lifted.layers.projections import Projection


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Identity(Projection):
    """`σ(z) = z`, for a block that only maps linearly.

    `Ψ(x) = 0`; `F*(z) = ½ z²`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.Identity().conjugate([[2.0, 1.0]])).tolist()
    [2.5]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return z

    def holds(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return ops.ones_like(x, dtype="bool")

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return d + ops.zeros_like(z)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ReLU(Projection):
    """`σ(z) = max(z, 0)`, the projection onto the non-negative orthant.

    `Ψ(x) = 0` on `x ≥ 0`, +∞ elsewhere; `F*(z) = ½ max(z, 0)²`.

    Source: Wang & Benning, JMLR 24(232), 2023.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.ReLU()(np.array([[-1.0, 2.0]]))).tolist()
    [[0.0, 2.0]]
    """

    bent_at_zero = True

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.relu(z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * ops.square(ops.relu(z))

    def holds(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return x >= 0

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return relu_difference(z, d)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class LeakyReLU(Activation):
    """`σ(z) = z` for `z > 0`, else `a z`, with the slope `0 < a ≤ 1`.

    `Ψ(x) = 0` for `x > 0`, else `(1/a − 1) x²/2`; `F*(z) = ½ z σ(z)`.

    Args:
        negative_slope: float. The slope `a` of the negative part, in (0, 1]. Defaults
            to 0.2.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `negative_slope` is not in (0, 1].

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.LeakyReLU(0.5)(np.array([[-1.0, 2.0]]))).tolist()
    [[-0.5, 2.0]]
    """

    bent_at_zero = True

    def __init__(self, negative_slope: float = 0.2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.negative_slope = check_number(
            "negative_slope",
            negative_slope,
            lambda slope: 0 < slope <= 1,
            "in (0, 1]; other slopes make it no proximal map, and 0 is ReLU()",
            "LeakyReLU",
        )

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.maximum(z, self.negative_slope * z)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * z * self.sigma(z)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return (0.5 / self.negative_slope - 0.5) * ops.square(ops.minimum(x, 0.0))

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        slope = self.negative_slope
        return ops.where(v > 0, v, v * (slope / (slope + step * (1.0 - slope))))

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        slope = self.negative_slope
        return slope * d + (1.0 - slope) * relu_difference(z, d)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ELU(Smooth):
    """`σ(z) = z` for `z ≥ 0`, else `a(eᶻ − 1)`, with `0 < a ≤ 1`.

    `Ψ(x) = 0` for `x ≥ 0`, `(x+a) log((x+a)/a) − x − x²/2` for `−a ≤ x < 0`, +∞
    elsewhere; `F*(z) = z²/2` for `z ≥ 0`, else `a(eᶻ − 1 − z)`. `prox` is solved
    by Newton's method.

    Args:
        alpha: float. `a`, in (0, 1]. Defaults to 1.0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `alpha` is not in (0, 1].

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.ELU()(np.array([[2.0, -100.0]]))).tolist()
    [[2.0, -1.0]]
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = check_number(
            "alpha",
            alpha,
            lambda value: 0 < value <= 1,
            "in (0, 1]; a larger one makes it no proximal map, and 0 is ReLU()",
            "ELU",
        )

    def slope(self, u: Tensor) -> Tensor:
        return ops.where(u >= 0, 1.0, self.alpha * ops.exp(ops.minimum(u, 0.0)))

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        bent = self.alpha * ops.expm1(ops.minimum(z, 0.0))
        return ops.where(z >= 0, z, bent)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        negative = ops.minimum(z, 0.0)
        bent = self.alpha * (ops.expm1(negative) - negative)
        return ops.where(z >= 0, 0.5 * ops.square(z), bent)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        negative = ops.minimum(x, 0.0)
        bent = self.alpha * one_plus_x_log(negative / self.alpha)
        terms = bent - negative - 0.5 * ops.square(negative)
        return restrict(x >= -self.alpha, terms)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        positive = relu_difference(z, d)
        negative = d - positive
        top = ops.minimum(ops.maximum(z, z - d), 0.0)
        bent = -ops.exp(top) * ops.expm1(-ops.abs(negative))
        return positive + self.alpha * ops.sign(negative) * bent


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ISRLU(Smooth):
    """`σ(z) = z` for `z ≥ 0`, else `z/√(1 + z²)`.

    `Ψ(x) = 0` for `x ≥ 0`, `1 − x²/2 − √(1 − x²)` for `−1 ≤ x < 0`, +∞ elsewhere;
    `F*(z) = z²/2` for `z ≥ 0`, else `√(1 + z²) − 1`. `prox` is solved by Newton's
    method.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.ISRLU()(np.array([[2.0, 0.0]]))).tolist()
    [[2.0, 0.0]]
    """

    def slope(self, u: Tensor) -> Tensor:
        root = hypotenuse(ops.minimum(u, 0.0))
        return 1.0 / root / root / root

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return ops.where(z >= 0, z, isru(ops.minimum(z, 0.0)))

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        bent = hypotenuse_less_one(ops.minimum(z, 0.0))
        return ops.where(z >= 0, 0.5 * ops.square(z), bent)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return restrict(x >= -1, isru_potential(ops.minimum(x, 0.0)))

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        positive = relu_difference(z, d)
        a, b = ops.minimum(z, 0.0), ops.minimum(z - d, 0.0)
        return positive + isru_same_sign_difference(a, b, d - positive)
