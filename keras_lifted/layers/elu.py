"""ELU as a proximal activation."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.domain import restrict
from keras_lifted.layers.formulas import one_plus_x_log
from keras_lifted.layers.formulas import relu_difference
from keras_lifted.layers.newton import newton_prox
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ELU(ProximalActivation):
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
    >>> kl.layers.ELU()(np.array([[2.0, -100.0]])).numpy().tolist()
    [[2.0, -1.0]]
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alpha = checks.number(
            "ELU",
            "alpha",
            alpha,
            lambda value: 0 < value <= 1,
            "in (0, 1]",
            "a larger one makes it no proximal map, and 0 is ReLU()",
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "alpha": self.alpha}

    def _value_and_slope(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.sigma(u), ops.where(
            u >= 0, 1.0, self.alpha * ops.exp(ops.minimum(u, 0.0))
        )

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
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return newton_prox(self._value_and_slope, v, step)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        positive = relu_difference(z, d)
        negative = d - positive
        top = ops.minimum(ops.maximum(z, z - d), 0.0)
        bent = -ops.exp(top) * ops.expm1(-ops.abs(negative))
        return positive + self.alpha * ops.sign(negative) * bent
