"""What every optimizer of lifted training is: an update, a penalty, a state."""

from __future__ import annotations

import abc
import warnings
import weakref
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import keras
from keras import ops

from keras_lifted import penalties
from keras_lifted import updates
from keras_lifted.backend import cond
from keras_lifted.checks import check_count
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.curvature import curvature
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers import persistent as persistence
from keras_lifted.optimizers.memory import Memory
from keras_lifted.optimizers.state import LiftedState
from keras_lifted.updates.base import Solution

Tensor = Any


class LiftedOptimizer(keras.optimizers.Optimizer, abc.ABC):
    """Chooses lifted variables batch by batch; subclasses move the weights.

    Args:
        penalty: a penalty of `keras_lifted.penalties` or its name; default
            `Bregman` with the default weight of the update.
        lifted_update: an update of `keras_lifted.updates` or its name;
            default `Sweep()`.
        curvature_refresh: training steps between two power iterations for
            the step sizes of the lifted variables.
        persistent: whether every sample keeps its lifted variables between
            epochs; the number of samples where `fit` is not given arrays, or
            `Persistent(...)`.
        **kwargs: arguments of `keras.optimizers.Optimizer`.

    Raises:
        ValueError: if an argument is unknown or out of range.
    """

    # Arguments that hold serialized objects.
    _nested: ClassVar[tuple[str, ...]] = (
        "penalty",
        "lifted_update",
        "persistent",
    )

    def __init__(
        self,
        penalty: Any = None,
        lifted_update: Any = None,
        curvature_refresh: int = 50,
        persistent: Any = False,
        **kwargs: Any,
    ) -> None:
        refresh = check_count("curvature_refresh", curvature_refresh, "training steps")
        super().__init__(**kwargs)
        self.lifted_update = updates.get(lifted_update)
        if penalty is None:
            penalty = penalties.Bregman(self.lifted_update.default_weight)
        self.penalty = penalties.get(penalty)
        self.curvature_refresh = refresh
        self.persistent = persistence.get(persistent)
        if self.persistent and self.penalty.contrastive:
            raise ValueError(
                "`persistent` keeps one set of lifted variables per sample. The "
                f"penalty {type(self.penalty).__name__} minimises over two of them, "
                f"with and without the loss. Received: persistent={persistent!r}. "
                "Use another penalty, or persistent=False."
            )
        if self.persistent and not self.lifted_update.starts_anywhere:
            raise ValueError(
                "`persistent` starts an update from stored lifted variables. The "
                f"{type(self.lifted_update).__name__} takes full steps, which fit a "
                "start at the forward pass; from anywhere else they may raise the "
                "energy. Choose steps bounded by the curvature: lifted_update="
                "ProximalGradient(...) or Mirror(...). Received: lifted_update="
                f"{lifted_update!r}"
            )
        self.lifted: LiftedState | None = None
        self.memory: Memory | None = None
        self._model: Callable[[], Any] | None = None

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
                f"{type(self).__name__}.from_config(optimizer.get_config())."
            )
        self._model = weakref.ref(model)
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
        rates = bounds / self.lifted.caution
        solution = self.lifted_update.solve(problem, rates)
        if self.penalty.contrastive:
            free = self.lifted_update.solve(problem.free(), rates)
            solution = solution.less(free)
        self.lifted.record(problem, solution)
        if needs_curvature:
            self.lifted.take_care(problem, solution, bounds)
        self.lifted.ascend(problem, solution, self.lifted_update.largest_weight)
        return solution

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the lifted state.

        Without a lifted model there is none: Keras clones some models as
        ordinary ones, which predict, and say so when trained.
        """
        model = self._model() if self._model is not None else None
        if model is not None:
            blocks = model.lifted_blocks
            self.penalty.check_names([block.name for block in blocks])
            self._check_weights(blocks)
            self.lifted = LiftedState.build(self, blocks, self.penalty)
            if self.persistent and self.persistent.shapes is not None:
                self.memory = Memory.build(self, self.persistent)
        super().build(variables)

    def keep(self, samples: int | None, shapes: dict[str, tuple[int, ...]]) -> None:
        """Make room for lifted variables of so many samples; `fit` does this.

        Raises:
            ValueError: if there is room for others already, or not enough.
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
        """Keras's, then the lifted variables that are kept."""
        kept = [] if self.memory is None else self.memory.variables
        among = {id(v) for v in kept}
        return [*(v for v in super().variables if id(v) not in among), *kept]

    def _check_weights(self, blocks: Sequence[Block]) -> None:
        both: list[Any] = [self.lifted_update, self.penalty]
        limiting = min(both, key=lambda each: each.largest_weight)
        largest = limiting.largest_weight
        heavy = {
            block.name: self.penalty.weight_of(block.name)
            for block in blocks
            if largest < self.penalty.weight_of(block.name) < float("inf")
        }
        if heavy:
            warnings.warn(
                f"{type(limiting).__name__} resolves penalty weights up "
                f"to {largest:g}: above, what the loss changes in the lifted "
                f"variables is lost to float32 rounding. Received: {heavy}. Lower "
                "them, or use the Sweep with another penalty, which loses no digits.",
                stacklevel=2,
            )

    def apply(
        self,
        grads: Sequence[Tensor],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """One step of the weights.

        Raises:
            ValueError: if the model that is trained is not a lifted one.
        """
        if self._model is None:
            raise ValueError(
                f"{type(self).__name__} trains a keras_lifted.LiftedModel: its "
                "weight gradients come from that model's lifted blocks. "
                "Received: an ordinary model. Build it as "
                "LiftedModel(model.inputs, model.outputs), or compile with a "
                "Keras optimizer."
            )
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        if not self.built:
            self.build(trainable_variables)
        self.move_weights(grads, trainable_variables)

    @abc.abstractmethod
    def move_weights(
        self, grads: Sequence[Tensor], variables: Sequence[keras.Variable]
    ) -> None:
        """One step of the weights along their gradients."""

    def get_config(self) -> dict[str, Any]:
        """Arguments of this class; subclasses add theirs."""
        serialize = keras.saving.serialize_keras_object
        return {
            "penalty": serialize(self.penalty),
            "lifted_update": serialize(self.lifted_update),
            "curvature_refresh": self.curvature_refresh,
            "persistent": self.persistent and serialize(self.persistent),
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> LiftedOptimizer:
        """The inverse of `get_config`."""
        config = dict(config)
        for key in cls._nested:
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)
