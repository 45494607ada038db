"""Metrics of lifted training, for `compile(metrics=[...])` of a lifted model."""

from typing import Any, final

import keras

__all__ = ["LiftedEnergy", "LiftedGap"]

Tensor = Any


class LiftedMetric(keras.metrics.Mean):
    """A mean over training batches of what the training step measures."""

    def update_state(self, *arguments: Any, **keywords: Any) -> None:
        """Leave targets and predictions alone; `observe` updates the mean."""

    def observe(self, value: Tensor, samples: Tensor) -> None:
        """Take in the value of a batch of so many samples."""
        super().update_state(value, sample_weight=samples)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class LiftedGap(LiftedMetric):
    """How far lifted variables are from their activations, relative to their size.

        mean_l √( mean_i P_l(x_l,i, z_l,i) / mean_i ½‖x_l,i‖² )

    For the quadratic penalty the root is `‖x − σ(z)‖/‖x‖`. It has no units, and is
    measured while training only: `evaluate` has no lifted variables.

    Args:
        name: str. The name in the logs. Defaults to "lifted_gap".

    Example:

    >>> import keras_lifted as kl
    >>> kl.metrics.LiftedGap().name
    'lifted_gap'
    """

    def __init__(self, name: str = "lifted_gap") -> None:
        super().__init__(name=name)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class LiftedEnergy(LiftedMetric):
    """The lifted energy `ℓ + Σ_l w_l P_l`, in the units of the loss.

    `ℓ` is the loss at the last sweep. Where the energy is below the loss of the forward
    pass, which the logs show, the lifted variables lowered it; a single sweep leaves
    `ℓ` there.

    Args:
        name: str. The name in the logs. Defaults to "lifted_energy".

    Example:

    >>> import keras_lifted as kl
    >>> kl.metrics.LiftedEnergy().name
    'lifted_energy'
    """

    def __init__(self, name: str = "lifted_energy") -> None:
        super().__init__(name=name)
