"""Block coordinate descent around any Keras optimizer."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted import penalties
from keras_lifted import updates
from keras_lifted.backend import cond
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.curvature import curvature
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.state import LiftedState
from keras_lifted.updates.base import Solution

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class BlockCoordinateDescent(keras.optimizers.Optimizer):
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

    def __init__(
        self,
        inner_optimizer: Any = "adam",
        penalty: Any = None,
        lifted_update: Any = None,
        curvature_refresh: int = 50,
        name: str = "block_coordinate_descent",
    ) -> None:
        inner = keras.optimizers.get(inner_optimizer)
        within = getattr(inner, "inner_optimizer", None)  # of a LossScaleOptimizer
        if any(isinstance(each, BlockCoordinateDescent) for each in (inner, within)):
            raise ValueError(
                "`inner_optimizer` must be an ordinary Keras optimizer. "
                f"Received: {inner_optimizer!r}, which is lifted already."
            )
        if isinstance(curvature_refresh, bool) or not (
            isinstance(curvature_refresh, int) and curvature_refresh >= 1
        ):
            raise ValueError(
                "`curvature_refresh` must be an integer of at least 1 (training "
                f"steps). Received: curvature_refresh={curvature_refresh!r}"
            )
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer = inner
        self.lifted_update = updates.get(lifted_update)
        if penalty is None:
            penalty = penalties.Bregman(self.lifted_update.default_weight)
        self.penalty = penalties.get(penalty)
        self.curvature_refresh = curvature_refresh
        self.lifted: LiftedState | None = None
        self._blocks: Callable[[], Sequence[Block]] | None = None

    # -- lifted variables -----------------------------------------------------

    def bind(self, model: Any) -> None:
        """Tell the optimizer whose blocks it trains; `compile` does this.

        Raises:
            ValueError: if it trains the weights of another model already.
        """
        known = {id(v) for v in self._trainable_variables}  # empty until built
        if known and not {id(v) for v in model.trainable_variables} <= known:
            raise ValueError(
                f"The optimizer '{self.name}' keeps state for other weights than "
                f"those of the model '{model.name}'. Received: an optimizer that "
                "was built for another model, or before layers were unfrozen. "
                "Create a new one, for example with "
                "BlockCoordinateDescent.from_config(optimizer.get_config())."
            )
        reference = weakref.ref(model)

        def blocks() -> Sequence[Block]:
            owner = reference()
            return owner.lifted_blocks if owner is not None else ()

        self._blocks = blocks
        if self.lifted is None:
            self.built = False

    def solve(self, problem: LiftedProblem) -> Solution:
        """Lifted variables and weight gradients; records the lifted state."""
        assert self.lifted is not None
        bounds = self.lifted.curvature.value
        needs_curvature = self.lifted_update.needs_curvature
        if needs_curvature:
            due = ops.equal(self.iterations % self.curvature_refresh, 0)
            known = ops.all(ops.isfinite(bounds))  # not so after a NaN batch
            bounds = cond(
                ops.logical_or(due, ops.logical_not(known)),
                lambda: curvature(problem),
                lambda: ops.convert_to_tensor(bounds),
            )
        solution = self.lifted_update.solve(problem, bounds / self.lifted.caution)
        self.lifted.record(problem, solution)
        if needs_curvature:
            self.lifted.take_care(solution, bounds)
        return solution

    # -- a Keras optimizer ----------------------------------------------------

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the inner optimizer's variables and the lifted state.

        Without a lifted model there is no lifted state: Keras clones some
        models as ordinary ones, which predict, and say so when trained.
        """
        if self._blocks is not None:
            blocks = self._blocks()
            self.penalty.check_names([block.name for block in blocks])
            self._check_weights(blocks)
            self.lifted = LiftedState.build(self, blocks, self.penalty)
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    def _check_weights(self, blocks: Sequence[Block]) -> None:
        largest = self.lifted_update.largest_weight
        heavy = {
            block.name: self.penalty.weight_of(block.name)
            for block in blocks
            if largest < self.penalty.weight_of(block.name) < float("inf")
        }
        if heavy:
            warnings.warn(
                f"{type(self.lifted_update).__name__} resolves penalty weights up "
                f"to {largest:g}: above, lifted variables differ from the forward "
                f"pass by less than float32 rounding. Received: {heavy}. Lower "
                "them, or use the Sweep, which loses no digits.",
                stacklevel=2,
            )

    @property
    def variables(self) -> list[keras.Variable]:
        """Own variables, then the inner optimizer's."""
        return [*super().variables, *self.inner_optimizer.variables]

    def apply(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """One step of the inner optimizer.

        Raises:
            ValueError: if the model that is trained is not a lifted one.
        """
        if self._blocks is None:
            raise ValueError(
                "BlockCoordinateDescent trains a keras_lifted.LiftedModel: its "
                "weight gradients come from that model's lifted blocks. "
                "Received: an ordinary model. Build it as "
                "LiftedModel(model.inputs, model.outputs), or compile with the "
                "inner optimizer."
            )
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        if not self.built:
            self.build(trainable_variables)
        self.inner_optimizer.apply(grads, trainable_variables)

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
        serialize = keras.saving.serialize_keras_object
        return {
            "inner_optimizer": serialize(self.inner_optimizer),
            "penalty": serialize(self.penalty),
            "lifted_update": serialize(self.lifted_update),
            "curvature_refresh": self.curvature_refresh,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> BlockCoordinateDescent:
        """The inverse of `get_config`."""
        config = dict(config)
        for key in ("inner_optimizer", "penalty", "lifted_update"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)
