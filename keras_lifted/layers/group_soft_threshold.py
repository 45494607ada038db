"""Group soft threshold as a proximal activation."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.layers import checks
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.norms import norm
from keras_lifted.layers.norms import shrink
from keras_lifted.layers.norms import shrink_difference
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import wide


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class GroupSoftThreshold(ProximalActivation):
    """`σ(z) = z · max(1 − λ/‖z‖₂, 0)`, which keeps or drops whole groups.

    `Ψ(x) = λ ‖x‖₂`; `F*(z) = ½ max(‖z‖₂ − λ, 0)²`, a norm for each group.

    Args:
        threshold: float. `λ ≥ 0`, in the unit of `z`. Defaults to 0.1.
        axis: int or tuple. The axis or axes that make a group; None for the whole
            sample. A `step` of `prox` must be constant within a group. Defaults to -1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `threshold` is negative or not finite, or a sample has no such
            `axis`.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> kl.layers.GroupSoftThreshold(2.5)(np.array([[3.0, 4.0]])).numpy().tolist()
    [[1.5, 2.0]]
    """

    separable = False

    def __init__(
        self,
        threshold: float = 0.1,
        axis: int | tuple[int, ...] | None = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.threshold = checks.non_negative(
            "GroupSoftThreshold", "threshold", threshold
        )
        self.axis = checks.axes("GroupSoftThreshold", axis)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "axis": self.axis,
        }

    @wide
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return shrink(z, self.threshold, self.axis)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return 0.5 * ops.square(ops.relu(norm(z, self.axis) - self.threshold))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return self.threshold * norm(x, self.axis)

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        return shrink(v, step * self.threshold, self.axis)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        return shrink_difference(z, d, self.threshold, self.axis)
