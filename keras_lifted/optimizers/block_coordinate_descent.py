"""Block coordinate descent around any Keras optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import final

import keras

from keras_lifted.optimizers.base import LiftedOptimizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class BlockCoordinateDescent(LiftedOptimizer):
    """Alternates lifted variables and weights, batch by batch.

    For each batch, `lifted_update` lowers the energy
    `mean_i ℓ + Σ_l w_l P_l(x_l, z_l)` in the lifted variables, then
    `inner_optimizer` takes a step along its weight gradient, in which every
    block sees its own inputs and targets only.

    Args:
        inner_optimizer: any Keras optimizer, its name or config; it owns
            learning rate, schedules, weight decay, clipping, accumulation
            and averaging.
        penalty: a penalty of `keras_lifted.penalties` or its name; default
            `Bregman` of weight 1000 for the sweep, 10 for repeated updates.
        lifted_update: an update of `keras_lifted.updates` or its name;
            default `Sweep()`.
        curvature_refresh: training steps between two power iterations for
            the step sizes of the lifted variables.
        persistent: True if every sample keeps its lifted variables between
            epochs and goes on from them; the number of samples where `fit` is not
            given arrays, or `Persistent(...)`. See `kl.with_index` for datasets.
        name: name of the optimizer.

    Raises:
        ValueError: if an argument is unknown or out of range.

    Source: Wang et al., arXiv 2510.09796, section 4.1.

    Example:

    >>> import keras_lifted as kl
    >>> optimizer = kl.optimizers.BlockCoordinateDescent(
    ...     "adam",
    ...     penalty=kl.penalties.Bregman(weight=10.0),
    ...     lifted_update=kl.updates.ProximalGradient(steps=3),
    ... )
    >>> type(optimizer.inner_optimizer).__name__
    'Adam'
    """

    _nested = (*LiftedOptimizer._nested, "inner_optimizer")

    def __init__(
        self,
        inner_optimizer: Any = "adam",
        penalty: Any = None,
        lifted_update: Any = None,
        curvature_refresh: int = 50,
        persistent: Any = False,
        name: str = "block_coordinate_descent",
    ) -> None:
        inner = keras.optimizers.get(inner_optimizer)
        within = getattr(inner, "inner_optimizer", None)  # of a LossScaleOptimizer
        if any(isinstance(each, LiftedOptimizer) for each in (inner, within)):
            raise ValueError(
                "`inner_optimizer` must be an ordinary Keras optimizer. "
                f"Received: {inner_optimizer!r}, which is lifted already."
            )
        super().__init__(
            penalty,
            lifted_update,
            curvature_refresh,
            persistent,
            learning_rate=0.0,
            name=name,
        )
        self.inner_optimizer = inner

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the inner optimizer's variables and the lifted state."""
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[keras.Variable]:
        """Own variables, then the inner optimizer's."""
        return [*super().variables, *self.inner_optimizer.variables]

    def move_weights(
        self, grads: Sequence[Tensor], variables: Sequence[keras.Variable]
    ) -> None:
        """One step of the inner optimizer."""
        self.inner_optimizer.apply(grads, variables)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The inner optimizer's loss scaling."""
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """The inner optimizer's averages, at the end of training."""
        self.inner_optimizer.finalize_variable_values(var_list)

    @property
    def learning_rate(self) -> Any:
        """The inner optimizer's learning rate."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Training steps taken."""
        return self.inner_optimizer.iterations

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {"inner_optimizer": inner, **super().get_config()}
