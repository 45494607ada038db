"""What makes a Keras model train by lifting."""

import inspect
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lifted import backend, optimizers
from keras_lifted.lifting.batch import reductions_of
from keras_lifted.lifting.blocks import Block, find_blocks
from keras_lifted.metrics import LiftedMetric
from keras_lifted.models.build import build, check_optimizer
from keras_lifted.models.persistence import with_indices
from keras_lifted.models.step import Lifting, solve_once, train_on
from keras_lifted.models.watch import FirstStepNote, NonFiniteLoss, PlanFit
from keras_lifted.persistent.indices import take_index

Tensor = Any


class LiftedMixin:
    """A mixin that trains a Keras model class by lifting; put it before `keras.Model`.

    Example:

    >>> import keras, keras_lifted as kl
    >>> class Net(kl.LiftedMixin, keras.Model):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.hidden = keras.layers.Dense(8, activation="relu")
    ...         self.out = keras.layers.Dense(1)
    ...     def call(self, x):
    ...         return self.out(self.hidden(x))
    >>> model = Net()
    >>> model.compile(optimizer="adam", loss="mse")
    """

    _lifting: Lifting

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        order = cls.__mro__
        if keras.Model in order[: order.index(LiftedMixin)]:
            raise TypeError(
                "LiftedMixin must come before keras.Model, whose `train_step` it "
                f"replaces. Received: class {cls.__name__} with the bases "
                f"{[base.__name__ for base in cls.__bases__]}. Write it as "
                f"`class {cls.__name__}(keras_lifted.LiftedMixin, keras.Model)`."
            )

    # -- what users call --------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
        **others: Any,
    ) -> None:
        """Compile as `keras.Model` does; a Keras optimizer is wrapped with defaults.

        Raises:
            TypeError: If it is given settings of the optimizer, such as `penalty`.
        """
        for name in others:
            known = inspect.signature(optimizers.BlockCoordinateDescent).parameters
            raise TypeError(
                "`compile` takes Keras's arguments; settings of lifted training belong "
                f"to the optimizer. Received: {name}. "
                + (
                    "Write optimizer=kl.optimizers."
                    f"BlockCoordinateDescent('adam', {name}=...)."
                    if name in known
                    else "See `help(keras.Model.compile)` for their names."
                )
            )
        if self.built:  # type: ignore[attr-defined]
            backend.check_scope(self.variables)  # type: ignore[attr-defined]
        every = keras.tree.flatten([metrics, weighted_metrics])
        self._lifting = Lifting(
            reductions_of(loss), [m for m in every if isinstance(m, LiftedMetric)]
        )
        optimizer = optimizers.get(optimizer)
        super().compile(  # type: ignore[misc]
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=auto_scale_loss,
        )
        lifted = optimizers.lifted_part(optimizer)
        if lifted is not None:
            lifted.bind(self)
            if self.built:  # type: ignore[attr-defined]
                lifted.penalty.check_names([block.name for block in self.lifted_blocks])

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` describes; used when loading."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if getattr(self, "optimizer", None) is not None:
            build(self)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Fit as `keras.Model` does; end, with a warning, after an epoch of NaN loss.

        An optimizer that plans its rates (`plan_fit`) is told the number of steps.
        """
        check_optimizer(self)
        fit = super().fit  # type: ignore[misc]
        bound = inspect.signature(fit).bind(*args, **kwargs)
        data = {name: bound.arguments.get(name) for name in ("x", "y", "sample_weight")}
        plan, *watches = PlanFit(), NonFiniteLoss(**data), FirstStepNote()
        callbacks = bound.arguments.get("callbacks")
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for each in (plan, *watches):
                callbacks.append(each)
        else:  # the plan comes first: others may set rates
            given = [] if callbacks is None else keras.tree.flatten(callbacks)
            bound.arguments["callbacks"] = [plan, *given, *watches]
        return with_indices(self, fit, *bound.args, **bound.kwargs)

    def make_train_function(self, force: bool = False) -> Any:
        """Make Keras's function, variables first: what creates some is traced twice."""
        build(self)
        make = super().make_train_function  # type: ignore[misc]
        return backend.make_train_function(self, make, force)

    def train_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        train = super().train_on_batch  # type: ignore[misc]
        return with_indices(self, train, *args, **kwargs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Compute the loss as `keras.Model` does; say so where there is none."""
        model: Any = self
        if y is None and model.loss is not None:
            raise ValueError(
                "The loss compares the model's outputs with targets. Expected: "
                "y, or a dataset of pairs (x, y). Received: y=None."
            )
        if model.loss is None and not model.losses:
            raise ValueError(
                "No loss to compute. Provide a `loss` argument in `compile()`, or "
                "call `add_loss` in a layer. Received: loss=None."
            )
        return super().compute_loss(x, y, y_pred, sample_weight, training)  # type: ignore[misc]

    def lifted_variables(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> dict[str, np.ndarray]:
        """Return what the update would set the lifted variables to for this batch.

        Args:
            x: arrays. The inputs of one batch, as for `train_on_batch`.
            y: arrays. Its targets. Defaults to None.
            sample_weight: arrays. Its sample weights. Defaults to None.

        Returns:
            `{activation name: array}`, each of its activation's shape.

        Raises:
            ValueError: If the model is not compiled, or the data not finite.
        """
        problem, solution = solve_once(self, x, y, sample_weight)
        return {
            call.key: ops.convert_to_numpy(x) for call, x in solution.lifted(problem)
        }

    def lifted_gaps(
        self, x: Any, y: Any = None, sample_weight: Any = None
    ) -> dict[str, float]:
        """Return the mean penalty of each activation after the update for this batch.

        Args:
            x: arrays. The inputs of one batch, as for `train_on_batch`.
            y: arrays. Its targets. Defaults to None.
            sample_weight: arrays. Its sample weights. Defaults to None.

        Returns:
            `{activation name: mean_i P(x_i, z_i)}`, z where the weight
            gradients are taken.

        Raises:
            ValueError: If the model is not compiled, or the data not finite.
        """
        problem, solution = solve_once(self, x, y, sample_weight)
        return {key: float(gap) for key, gap in solution.gaps(problem).items()}

    @property
    def lifted_blocks(self) -> list[Block]:
        """The blocks of the model, in the order of its layers."""
        lifting: Lifting | None = getattr(self, "_lifting", None)
        if lifting is not None and lifting.blocks is not None:
            return lifting.blocks
        lifted = optimizers.lifted_part(getattr(self, "optimizer", None))
        every = lifted is not None and not lifted.penalty.needs_proximal
        blocks = find_blocks(self, every)
        if lifting is not None:
            lifting.blocks = blocks
        return blocks

    # -- steps --------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the outputs; an index that came with the inputs is not read."""
        if args:
            args = (take_index(args[0])[0], *args[1:])
        return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def train_step(self, *arguments: Any) -> Any:
        """Take one lifted step: `(data)`, or on JAX `(state, data)` and pure."""
        return backend.run_step(self, lambda data: train_on(self, data), *arguments)

    def test_step(self, *arguments: Any) -> Any:
        """Test as Keras does, without the metrics of the lifted variables."""
        data = _without_index(arguments[-1])
        result = super().test_step(*arguments[:-1], data)  # type: ignore[misc]
        if isinstance(result, tuple):
            return self._without_lifted(result[0]), *result[1:]
        return self._without_lifted(result)

    def _without_lifted(self, logs: dict[str, Any]) -> dict[str, Any]:
        lifted = tuple(metric.name for metric in self._lifting.metrics)
        return {n: v for n, v in logs.items() if not (lifted and n.endswith(lifted))}

    def predict_step(self, *arguments: Any) -> Any:
        """Predict as Keras does; an index that came with the inputs is not read."""
        data = _without_index(arguments[-1])
        return super().predict_step(*arguments[:-1], data)  # type: ignore[misc]


def _without_index(data: Any) -> Any:
    x, *rest = keras.utils.unpack_x_y_sample_weight(data)
    return take_index(x)[0], *rest
