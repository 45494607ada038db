"""The contrastive penalty: clamped minus free energy."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.checks import check_number
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.penalties.base import Weight
from keras_lifted.penalties.bregman import Bregman

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Contrastive(Bregman):
    """Bregman's P plus `feedback · M(z)`, clamped minus free energies.

    With `feedback=1`, P is `½‖x − z‖² + Ψ(x)`: the Bregman penalty and the least value
    over x, `M(z) = ½‖z‖² − F*(z)`, whose gradient biases the weights. So each batch has
    two phases, and the weights lower

        min_X [ℓ + Σ_l w_l P_l]  −  min_X [Σ_l w_l P_l],

    the clamped phase less the free one, which is without the loss, at twice the cost
    of other penalties. As the penalty weights grow the gradient tends to that of the
    loss at the free minimiser. That is the nearer to the forward pass, by which the
    model predicts, the smaller the factor `feedback` of M.

    The gap that is reported is the Bregman part in the clamped phase; `lifted_energy`
    is the difference of the two phases.

    Args:
        weight: float or dict. As for `Penalty`; None for 10. Above 100 the difference
            of two phases is lost to float32. Defaults to None.
        feedback: float. The factor in [0, 1] of M: 1 is the penalty of Askari et al., 0
            that of Bregman. With 1 and several blocks the free minimiser learns to
            predict, and the forward pass need not. Defaults to 0.1.

    Raises:
        ValueError: If a weight is not positive, or `feedback` out of range.

    Source: Zach & Estellers, "Contrastive learning for lifted networks",
    arXiv 1905.02507; the penalty of Askari et al., arXiv 1805.01532.

    Example:

    >>> import keras_lifted as kl
    >>> kl.penalties.Contrastive(weight=10.0).contrastive
    True
    """

    default_weight = 10.0
    largest_weight = 100.0
    contrastive = True

    def __init__(self, weight: Weight | None = None, feedback: float = 0.1) -> None:
        super().__init__(weight)
        self.feedback = check_number(
            "feedback",
            feedback,
            lambda number: 0.0 <= number <= 1.0,
            "in [0, 1]",
            "the contrastive penalty",
        )

    def z_gradient(self, sigma: ProximalMap, z: Tensor, d: Tensor) -> Tensor:
        return super().z_gradient(sigma, z, d) + self.feedback * (z - sigma(z))

    def parameter_value(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, d: Tensor
    ) -> Tensor:
        return super().parameter_value(sigma, s, z, d) + self.z_terms(sigma, z)

    def z_terms(self, sigma: ProximalMap, z: Tensor) -> Tensor:
        least = 0.5 * sum_per_sample(ops.square(z)) - sigma.conjugate(z)
        return self.feedback * least
