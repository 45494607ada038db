"""Block coordinate descent around any Keras optimizer."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted import penalties, updates
from keras_lifted.arguments import arguments_of
from keras_lifted.backend import cond
from keras_lifted.checks import check_count
from keras_lifted.lifting.curvature import curvature
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.settings import check_rate, keras_optimizer
from keras_lifted.optimizers.state import LiftedState, warn_of_heavy_weights
from keras_lifted.persistent import settings as persistence
from keras_lifted.persistent.memory import Memory
from keras_lifted.updates.base import Solution

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_lifted")
class BlockCoordinateDescent(keras.optimizers.Optimizer):
    """An optimizer that alternates lifted variables and weights, batch by batch.

    For each batch, `lifted_update` lowers the energy
    `mean_i ℓ + Σ_l w_l P_l(x_l, z_l)` in the lifted variables, then
    `weight_optimizer` takes a step along its weight gradient, in which every
    block sees its own inputs and targets only.

    Args:
        weight_optimizer: optimizer, its name or config. Any of Keras; it owns learning
            rate, schedules, weight decay, clipping, accumulation and averaging.
            Attributes that this class lacks are its. Defaults to "adam".
        penalty: penalty, its name or config. None for `Bregman()`, whose weight is 10
            for repeated updates and is chosen from the data by sweeps. Defaults to
            None.
        lifted_update: update, its name or config. None for `Sweep()`. Defaults to None.
        curvature_refresh: int. The training steps between two power iterations for the
            step sizes of the lifted variables. Defaults to 50.
        persistent: bool, int or Persistent. Whether every sample keeps its lifted
            variables between epochs and goes on from them; the number of samples where
            `fit` is not given arrays, or `Persistent(...)`. See `kl.with_index` for
            datasets. Defaults to False.
        name: str. The name of the optimizer. Defaults to "block_coordinate_descent".

    Raises:
        ValueError: If an argument is unknown or out of range.

    Source: Wang et al., arXiv 2510.09796, section 4.1.

    Example:

    >>> import keras_lifted as kl
    >>> optimizer = kl.optimizers.BlockCoordinateDescent(
    ...     "adam",
    ...     penalty=kl.penalties.Bregman(weight=10.0),
    ...     lifted_update=kl.updates.ProximalGradient(steps=3),
    ... )
    >>> type(optimizer.weight_optimizer).__name__
    'Adam'
    """

    def __init__(
        self,
        weight_optimizer: Any = "adam",
        penalty: Any = None,
        lifted_update: Any = None,
        curvature_refresh: int = 50,
        persistent: Any = False,
        name: str = "block_coordinate_descent",
    ) -> None:
        refresh = check_count("curvature_refresh", curvature_refresh, "training steps")
        super().__init__(learning_rate=0.0, name=name)
        self.weight_optimizer = _ordinary(weight_optimizer)
        self.lifted_update = updates.get(lifted_update)
        self.penalty = penalties.get("bregman" if penalty is None else penalty)
        self.curvature_refresh = refresh
        self.persistent = persistence.get(persistent)
        if self.persistent:
            persistence.check_methods(self.penalty, self.lifted_update)
        self.lifted: LiftedState | None = None
        self.memory: Memory | None = None
        self._model: Callable[[], Any] | None = None
        self._known: set[int] = set()

    # -- what the training step asks -----------------------------------------------

    def curvature(self, problem: LiftedProblem) -> Tensor:
        """Return curvature bounds of the lifted variables over their caution."""
        state = self.state
        bounds = ops.convert_to_tensor(state.curvature)
        if self.lifted_update.needs_curvature and problem.structure.calls:
            due = ops.equal(self.iterations % self.curvature_refresh, 0)
            none = ops.all(bounds == 0)  # not so yet: the first batches were bad
            bounds = cond(
                ops.logical_or(due, none), lambda: curvature(problem), lambda: bounds
            )
        return bounds / state.caution

    def observe(
        self,
        problem: LiftedProblem,
        solution: Solution,
        bounds: Tensor,
        good: Tensor,
        watched: bool = False,
    ) -> None:
        """Keep what the next batch needs of a solution, where `good`.

        Args:
            problem: LiftedProblem. That of the batch.
            solution: Solution. That of the problem.
            bounds: tensor. The bounds that `curvature` returned.
            good: tensor of bool. Whether the batch is finite.
            watched: bool. Whether gaps and lifted variables are looked at. Defaults to
                False.
        """
        self.weight_optimizer.scale_loss(solution.forward.loss)  # bounds steps by it
        if not problem.structure.calls:
            return
        state = self.state
        new: dict[str, Tensor] = {}
        if problem.least is not None:
            new |= state.chosen_weights(problem, solution)
        if self.lifted_update.needs_curvature:
            new |= state.steps(problem, solution, bounds * state.caution)
        if watched or self.penalty.ascends:
            new |= state.gaps(problem, solution)
        if self.penalty.ascends:
            most = self.lifted_update.largest_weight
            new |= state.multipliers(self.penalty, new["gap"], new["size"], most)
        if watched:
            new |= state.samples(problem, solution)
        for name, value in new.items():
            variable = getattr(state, name)
            variable.assign(ops.where(good, value, variable.value))

    def directions(self, problem: LiftedProblem, solution: Solution) -> list[Tensor]:
        """Return the weight optimizer's gradients: those of the solution."""
        return solution.gradients

    @property
    def state(self) -> LiftedState:
        """The lifted state, which `build` creates."""
        assert self.lifted is not None
        return self.lifted

    @property
    def first_weight(self) -> float:
        """The penalty weight where none was given: all of it, or the least."""
        return min(self.lifted_update.default_weight, self.penalty.largest_weight)

    # -- what Keras asks ------------------------------------------------------------

    def bind(self, model: Any) -> None:
        """Tell the optimizer whose blocks it trains; `compile` does this.

        Raises:
            ValueError: If it trains the weights of another model already.
        """
        weights = {id(v) for v in model.trainable_variables}
        if self._known and not weights <= self._known:
            raise ValueError(
                f"The optimizer '{self.name}' keeps state for other weights than "
                f"those of the model '{model.name}'. Received: an optimizer that "
                "was built for another model, or before layers were unfrozen. "
                "Create a new one, for example with "
                f"{type(self).__name__}.from_config(optimizer.get_config())."
            )
        self._model = weakref.ref(model)
        if self.lifted is None:
            self.built = False

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the weight optimizer's variables and the lifted state.

        Without a lifted model there is none of the latter: Keras clones some models
        as ordinary ones, which predict, and say so when trained.
        """
        self._known = {id(v) for v in variables}
        if not self.weight_optimizer.built:
            self.weight_optimizer.build(variables)
        model = self._model() if self._model is not None else None
        if model is not None:
            blocks = model.lifted_blocks
            self.penalty.check_names([block.name for block in blocks])
            warn_of_heavy_weights(blocks, self.lifted_update, self.penalty)
            weights = [
                self.penalty.weight_of(block.name, self.first_weight)
                for block in blocks
            ]
            self.lifted = LiftedState.build(self, weights)
            if self.persistent and self.persistent.shapes is not None:
                self.memory = Memory.build(self, self.persistent)
        super().build(variables)

    def keep(self, samples: int | None, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make room for lifted variables of so many samples; `fit` does this.

        Raises:
            ValueError: If there is room for others already, or not enough.
        """
        assert self.persistent is not None
        self.persistent = self.persistent.filled(samples, shapes)
        if self.memory is None:
            self.memory = Memory.build(self, self.persistent)

    def forget(self) -> None:
        """Start every sample at the forward pass again, as before training."""
        if self.memory is not None:
            self.memory.forget()

    @property
    def variables(self) -> list[keras.Variable]:
        """Own variables, those of lifted variables that are kept, the weights'."""
        kept = [] if self.memory is None else self.memory.variables
        among = {id(v) for v in kept}
        own = [v for v in super().variables if id(v) not in among]
        return [*own, *self.weight_optimizer.variables, *kept]

    def apply(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Take one step of the weight optimizer.

        Raises:
            ValueError: If the model that is trained is not a lifted one.
        """
        if self._model is None:
            raise ValueError(
                f"{type(self).__name__} trains a keras_lifted.LiftedModel: its "
                "weight gradients come from that model's lifted blocks. "
                "Received: an ordinary model. Build it as "
                "LiftedModel(model.inputs, model.outputs), or compile with a "
                "Keras optimizer."
            )
        self.weight_optimizer.apply(grads, trainable_variables)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return the weight optimizer's loss scaling."""
        return self.weight_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Take the weight optimizer's averages, at the end of training."""
        self.weight_optimizer.finalize_variable_values(var_list)

    @property
    def learning_rate(self) -> Any:
        """The weight optimizer's learning rate."""
        return self.weight_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.weight_optimizer.learning_rate = check_rate(learning_rate)

    @property
    def iterations(self) -> Any:
        """Training steps taken."""
        return self.weight_optimizer.iterations

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the weight optimizer, where this class has none."""
        if "weight_optimizer" not in vars(self) or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.weight_optimizer, name)

    def get_config(self) -> dict[str, Any]:
        arguments = arguments_of(self)
        config: dict[str, Any] = keras.saving.serialize_keras_object(arguments)
        return config

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> BlockCoordinateDescent:
        objects = {k: v for k, v in config.items() if isinstance(v, dict)}
        objects = keras.saving.deserialize_keras_object(objects, custom_objects)
        return cls(**{**config, **objects})


def _ordinary(identifier: Any) -> keras.optimizers.Optimizer:
    """Return a Keras optimizer that is not lifted already."""
    optimizer = keras_optimizer("weight_optimizer", identifier)
    within = getattr(optimizer, "inner_optimizer", None)  # of a LossScaleOptimizer
    if any(isinstance(each, BlockCoordinateDescent) for each in (optimizer, within)):
        raise ValueError(
            "`weight_optimizer` must be an ordinary Keras optimizer. "
            f"Received: {type(optimizer).__name__}, which is lifted already. Give "
            "it to `compile` as it is."
        )
    return optimizer
