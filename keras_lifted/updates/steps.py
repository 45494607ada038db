"""Mirror (Bregman) and proximal gradient steps on the lifted variables."""

from typing import Any, final

import keras

from keras_lifted.layers.map import ProximalMap
from keras_lifted.penalties.base import Penalty
from keras_lifted.updates import acceleration as accelerations
from keras_lifted.updates.iteration import Iteration
from keras_lifted.updates.order import OUTPUT_TO_INPUT

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Mirror(Iteration):
    """`v_l ← (1−τ) v_l + τ (z_l − q_l)`, `x_l = σ(v_l)`, repeated.

    This is a step in the Bregman distance of F, which needs the activation alone, no
    scaled proximal map. `τ = 1/(1 + L_l/w_l)` with L from power iteration.

    Args:
        steps: int. The most updates of each lifted variable, at least 1. Defaults to 3.
        tolerance: float. It stops early once the relative change of a sweep is below
            this; 0 takes all steps. Defaults to 0.0.
        order: str. The order in which a round updates the blocks: "output_to_input" one
            after the other, "red_black" odd and even depths in turn, "jacobi" all at
            once. The last two take the weight gradients in a pass of their own.
            Defaults to "output_to_input".

    Raises:
        ValueError: If `steps`, `tolerance` or `order` is out of range.

    Source: Wang & Benning, JMLR 24(232), 2023, section 4.2 (dual form).

    Example:

    >>> import keras_lifted as kl
    >>> kl.updates.Mirror(steps=5).steps
    5
    """

    def __init__(
        self,
        steps: int = 3,
        tolerance: float = 0.0,
        order: str = OUTPUT_TO_INPUT,
    ) -> None:
        super().__init__(steps, tolerance, order)

    def step(self, penalty: Penalty, sigma: ProximalMap, *at: Tensor) -> Tensor:
        s, z, q, rate = at
        return s + rate / (1.0 + rate) * (penalty.origin(sigma, z) - q - s)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ProximalGradient(Iteration):
    """`x_l ← prox_{μF}(x_l − μ(q_l − z_l))`, `μ ≤ 1/‖W_{l+1}‖²`, repeated.

    It starts at the forward pass or at stored lifted variables. Step lengths come from
    power iteration on the children of each block, times a safety factor, so that steps
    do not raise the energy. With an acceleration a round that raised it is undone; from
    stored lifted variables, or in another order, all rounds of the batch are.

    Args:
        steps: int. The most updates of each lifted variable, at least 1. Defaults to 3.
        acceleration: str. None, "nesterov", "heavy_ball" or "adam". Defaults to None.
        tolerance: float. As for `Mirror`. Defaults to 0.0.
        order: str. As for `Mirror`. Defaults to "output_to_input".

    Raises:
        ValueError: If `steps`, `acceleration`, `tolerance` or `order` is out of
            range.

    Source: Wang & Benning, JMLR 24(232), 2023, algorithm 1; Wang et al.,
    arXiv 2510.09796, section 4.

    Example:

    >>> import keras_lifted as kl
    >>> update = kl.updates.ProximalGradient(steps=3, acceleration="nesterov")
    >>> update.get_config()["steps"]
    3
    """

    def __init__(
        self,
        steps: int = 3,
        acceleration: str | None = None,
        tolerance: float = 0.0,
        order: str = OUTPUT_TO_INPUT,
    ) -> None:
        super().__init__(steps, tolerance, order, accelerations.get(acceleration))
        self.acceleration = acceleration

    def step(self, penalty: Penalty, sigma: ProximalMap, *at: Tensor) -> Tensor:
        return penalty.proximal(sigma, *at)
