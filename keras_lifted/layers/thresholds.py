"""Activations with a threshold."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted import checks
from keras_lifted.layers.base import Activation
from keras_lifted.layers.formulas import (
    clip,
    clip_difference,
    norm,
    shrink,
    shrink_difference,
)
from keras_lifted.layers.precision import Tensor, wide
from keras_lifted.layers.projections import Clip


class Thresholded(Activation):
    """A proximal activation with the parameter `λ ≥ 0`; see `SoftThreshold`."""

    def __init__(
        self, threshold: float = 0.1, learnable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        owner = type(self).__name__
        self.threshold = checks.non_negative(owner, "threshold", threshold)
        self.learnable = checks.flag(owner, "learnable", learnable)
        self.threshold_weight = None
        if self.learnable:
            self.threshold_weight = self.add_weight(
                name="threshold",
                shape=(),
                initializer=keras.initializers.Constant(self.threshold),
                constraint="non_neg",
            )

    def parameters(self) -> tuple[Tensor, ...]:
        if self.threshold_weight is None:
            return ()
        return (ops.copy(self.threshold_weight),)  # a tensor, in eager TensorFlow too

    def _threshold(self, like: Tensor, parameters: tuple[Tensor, ...]) -> Any:
        return ops.cast(parameters[0], like.dtype) if parameters else self.threshold


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SoftThreshold(Thresholded):
    """`σ(z) = sign(z) · max(|z| − λ, 0)`, the proximal map of the 1-norm.

    `Ψ(x) = λ |x|`; `F*(z) = ½ max(|z| − λ, 0)²`.

    Args:
        threshold: float. `λ ≥ 0`, in the unit of `z`; where it starts, if learnable.
            Defaults to 0.1.
        learnable: bool. Whether `λ`, one scalar kept non-negative, is trained. Defaults
            to False.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `threshold` is negative or not finite, or `learnable` is not a
            bool.

    Source: Combettes & Pesquet, arXiv 1808.07526, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.SoftThreshold(1.0)(np.array([[-3.0, 0.5]]))).tolist()
    [[-2.0, 0.0]]
    """

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return z - clip(z, -threshold, threshold)

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return 0.5 * ops.square(ops.relu(ops.abs(z) - threshold))

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        return self._threshold(x, parameters) * ops.abs(x)

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        threshold = step * self._threshold(v, parameters)
        return v - clip(v, -threshold, threshold)

    @wide
    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        threshold = self._threshold(z, parameters)
        return d - clip_difference(z, d, -threshold, threshold)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class DualSoftThreshold(Clip, Thresholded):
    """`σ(z) = min(max(z, −λ), λ)`, what the soft threshold takes away from `z`.

    The proximal map of the conjugate of `λ‖·‖₁`, for every step. `Ψ(x) = 0` for
    `|x| ≤ λ`, +∞ elsewhere; `F*(z) = z σ(z) − ½ σ(z)²`.

    Args:
        threshold: float. `λ ≥ 0`, in the unit of `z`; where it starts, if learnable.
            Defaults to 0.1.
        learnable: bool. Whether `λ`, one scalar kept non-negative, is trained. Defaults
            to False.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `threshold` is negative or not finite, or `learnable` is not a
            bool.

    Source: Wang, Benning & Repetti, arXiv 2408.08742; Combettes & Pesquet, "Deep
    neural network structures solving variational inequalities", 2020, section 2.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> np.array(kl.layers.DualSoftThreshold(1.0)(np.array([[-3.0, 0.5]]))).tolist()
    [[-1.0, 0.5]]
    """

    def bounds(self, like: Tensor, *parameters: Tensor) -> tuple[Any, Any]:
        threshold = self._threshold(like, parameters)
        return -threshold, threshold


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class GroupSoftThreshold(Activation):
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
    >>> np.array(kl.layers.GroupSoftThreshold(2.5)(np.array([[3.0, 4.0]]))).tolist()
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
