"""Steepest descent: every kernel moves as a matrix, in a geometry that suits it."""

from collections.abc import Sequence
from typing import Any, final

import keras
from keras import ops

from keras_lifted import geometries
from keras_lifted.arguments import arguments_of
from keras_lifted.backend import assign_all, cond, sum_over_replicas
from keras_lifted.checks import check_between, check_count
from keras_lifted.layers.precision import real_dtype
from keras_lifted.optimizers import lengths
from keras_lifted.optimizers.kernels import count_in_chains, find_groups, warn_of_others
from keras_lifted.optimizers.schedule import FitDecay
from keras_lifted.optimizers.settings import check_settings, keras_optimizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class SteepestDescent(keras.optimizers.Optimizer):
    """An optimizer that moves every kernel, with its bias, as one matrix.

    For the joint matrix `W` of a kernel and its bias, with gradient `G`:

        M ← k M + (1−k) G,    J = k M + (1−k) G        Nesterov momentum
        D = polar(P J Q)                               the geometry, here "kronecker"
        W ← (1 − λ τ) W − s τ D                        D of root mean square ω

    `P` and `Q` are inverse roots of the running covariances of the gradients' rows and
    columns. The factor `s ≤ 1` is the largest for which the predicted decrease
    `Σ s τ⟨J, D⟩` is a small fraction of the loss, and within a bound that knows earlier
    predictions alone; see `DecreaseBound`. Nothing but gradients and the loss is read,
    so it serves any Keras model. Clipping, accumulation, loss scaling, averaging and
    weight decay are Keras's.

    A kernel is a variable whose name ends in "kernel": of Dense, EinsumDense,
    attention, convolution, transposed and separable convolution, recurrent layers and
    stacks. `fallback` moves all others: embeddings, depthwise kernels, convolutions of
    several pixels with one output channel, biases of transposed convolutions and of
    GRU, normalisation.

    Args:
        learning_rate: float, schedule or callable. `τ`, the root mean square of the
            singular values of a step over `ω`, at most. None for 0.1 with up to nine
            kernels and `0.9/L`, at least 0.02, with L, not counting those right before
            a normalisation. Defaults to None.
        geometry: str. "kronecker", "spectral" (without `P` and `Q`) or "frobenius"
            (without `polar` as well). Defaults to "kronecker".
        momentum: float. `k`, in [0, 1). Defaults to 0.95.
        fallback: optimizer, its name or config. It moves what is not a kernel; given by
            name its usual rate decays along. Defaults to "adam".
        decay: str, int or None. Over which steps a rate that is a number falls to zero:
            "fit" for those of each `fit`, of a `keras.Model` with the callback
            `PlanFit`; a number of steps; or None. Defaults to "fit".
        max_relative_decrease: float. The largest predicted decrease in one step, as a
            fraction of the loss; a quarter of it where the loss has become small.
            Unused where that is not seen (`keras.Model` on JAX or in mixed precision,
            `tf.distribute`). Defaults to 0.2.
        refresh_every: int. The steps between two refreshes of `P` and `Q`; the first
            come sooner. Defaults to 20.
        weight_decay: float or None. `λ`, of kernels and their biases; the fallback has
            its own. `exclude_from_weight_decay` names exceptions. Defaults to 0.03.
        name: str. The name of the optimizer. Defaults to "steepest_descent".
        **kwargs: Arguments of `keras.optimizers.Optimizer`, such as `clipnorm`,
            `gradient_accumulation_steps` and `use_ema`.

    Raises:
        ValueError: If an argument is unknown or out of range.

    Source: Gupta et al., "Shampoo", arXiv 1802.09568; Jordan et al., "Muon", 2024;
    Bernstein & Newhouse, arXiv 2409.20325.

    Example:

    >>> import keras, keras_lifted as kl
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> model.compile(kl.optimizers.SteepestDescent(), loss="mse")
    >>> round(float(model.optimizer.learning_rate), 3)
    0.1
    """

    def __init__(
        self,
        learning_rate: Any = None,
        geometry: str = "kronecker",
        momentum: float = 0.95,
        fallback: Any = "adam",
        decay: str | int | None = "fit",
        max_relative_decrease: float = 0.2,
        refresh_every: int = 20,
        weight_decay: float | None = 0.03,
        name: str = "steepest_descent",
        **kwargs: Any,
    ) -> None:
        kwargs["weight_decay"] = weight_decay
        check_settings(decay, kwargs)
        schedule = learning_rate
        if not callable(learning_rate):
            rate = lengths.RATE if learning_rate is None else learning_rate
            schedule = FitDecay(rate, decay if isinstance(decay, int) else None)
        super().__init__(learning_rate=schedule, name=name, **kwargs)
        self._undecayed: tuple[list[Any], list[str]] = ([], [])
        if isinstance(schedule, FitDecay):
            schedule.build(self)
        self._bound = lengths.DecreaseBound.build(self._add)
        self.geometry = geometry
        self.momentum = check_between("momentum", momentum, 0.0, 1.0)
        self.decay = decay
        self.max_relative_decrease = check_between(
            "max_relative_decrease", max_relative_decrease, 1e-6, 1e6
        )
        self.refresh_every = check_count("refresh_every", refresh_every, "steps")
        self.fallback = keras_optimizer("fallback", fallback)
        self._geometry = geometries.get(geometry)
        self._default_rate = learning_rate is None
        self._named_fallback = fallback if isinstance(fallback, str) else None
        if self._named_fallback:
            usual = float(ops.convert_to_numpy(self.fallback.learning_rate))
            # Not assigned: TensorFlow exports no optimizer that lost a variable.
            self.fallback = type(self.fallback)(lambda: usual * self._decayed())

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Find the kernels and create the state."""
        if self.built:
            return
        self._groups = find_groups(variables)
        kernels = {place for group in self._groups for place in group.places}
        self._others = [i for i in range(len(variables)) if i not in kernels]
        listed, names = self._undecayed
        others = [variables[i] for i in self._others]
        super().exclude_from_weight_decay([*listed, *others], names)
        super().build(variables)
        self._momenta = [
            self._add(f"momentum_{i}", group.layout.shape)
            for i, group in enumerate(self._groups)
        ]
        self._states = [
            {
                key: self._add(f"{key}_{i}", shape)
                for key, shape in self._geometry.init(group.layout).items()
            }
            for i, group in enumerate(self._groups)
        ]
        self._refreshes = self._add("refreshes", ())
        if others:
            self.fallback.build(others)
            warn_of_others(variables, self._others, type(self.fallback).__name__)
        if self._default_rate:
            chained = count_in_chains(self._groups, variables)
            self._learning_rate.start_at(lengths.rate_at(chained))

    @property
    def variables(self) -> list[keras.Variable]:
        """Its own variables, then the fallback's."""
        return [*super().variables, *self.fallback.variables]

    @property
    def learning_rate(self) -> Any:
        """The rate of the next step."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self._default_rate = False
        if isinstance(self._learning_rate, FitDecay) and not callable(learning_rate):
            self._learning_rate.hold(learning_rate)
        else:
            keras.optimizers.Optimizer.learning_rate.fset(self, learning_rate)

    def exclude_from_weight_decay(
        self, var_list: Any = None, var_names: Any = None
    ) -> None:
        super().exclude_from_weight_decay(var_list, var_names)
        self._undecayed = (list(var_list or ()), list(var_names or ()))

    def plan_fit(self, steps: int, done: int = 0) -> None:
        """Let the rate fall to zero over the steps of one `fit`.

        `LiftedModel.fit` and the callback `PlanFit` call it. It changes nothing unless
        the rate is a number and `decay` is "fit".

        Args:
            steps: int. The batches of the whole `fit`.
            done: int. Those of them that were trained on before. Defaults to 0.
        """
        if self.decay == "fit" and isinstance(self._learning_rate, FitDecay):
            taken = int(ops.convert_to_numpy(self._iterations))
            self._learning_rate.plan(taken - done, steps)

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Take note of the loss, and scale it as Keras does."""
        self._bound.see(loss)
        return super().scale_loss(loss)

    def chosen_geometries(self) -> dict[str, str]:
        """Return `{path of the variable: geometry, or the fallback's class}`."""
        other = dict.fromkeys(self._others, type(self.fallback).__name__)
        return {
            variable.path: other.get(place, self.geometry)
            for place, variable in enumerate(self._trainable_variables)
        }

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        if isinstance(self._learning_rate, FitDecay):
            rate = float(ops.convert_to_numpy(self._learning_rate.rate))
            config["learning_rate"] = None if self._default_rate else rate
        serialize = keras.saving.serialize_keras_object
        config["fallback"] = self._named_fallback or serialize(self.fallback)
        return {**arguments_of(self), **config}

    # -- the step ---------------------------------------------------------------

    def _backend_update_step(
        self, grads: Sequence[Tensor], variables: Sequence[Any], learning_rate: Tensor
    ) -> None:
        """Move all variables; Keras calls it after clipping and accumulation."""
        places = [self._get_variable_index(variable) for variable in variables]
        others = [i for i, place in enumerate(places) if place in self._others]
        if others:
            self.fallback.apply(
                [grads[i] for i in others], [variables[i] for i in others]
            )
        kernels = [i for i in range(len(places)) if i not in others]
        if kernels:
            summed = sum_over_replicas([grads[i] for i in kernels])
            given = dict(zip([places[i] for i in kernels], summed, strict=True))
            self._move(given, learning_rate)

    def _move(self, given: dict[int, Tensor], learning_rate: Tensor) -> None:
        """Move all kernels with their biases, along gradients by place."""
        dtype = real_dtype()
        steps = ops.cast(self.iterations, dtype)
        keep = ops.minimum(self.momentum, steps / (steps + 1.0))
        layouts = [group.layout for group in self._groups]
        gradients = [group.join(given, dtype) for group in self._groups]

        def averaged(means: Sequence[Tensor]) -> list[Tensor]:
            pairs = zip(means, gradients, strict=True)
            return [keep * mean + (1.0 - keep) * slope for mean, slope in pairs]

        momenta = averaged(self._momenta)
        ahead = averaged(momenta)
        held = [
            {key: ops.convert_to_tensor(value) for key, value in state.items()}
            for state in self._states
        ]
        due = geometries.is_due(steps, self.refresh_every)
        kept = geometries.kept(self._refreshes)
        geometry = self._geometry
        states = cond(
            due,
            lambda: geometry.refresh(layouts, held, gradients, kept),
            lambda: held,
        )
        whole = [
            lengths.of_unit_rate(layout, geometry.direction(layout, state, momentum))
            for layout, state, momentum in zip(layouts, states, ahead, strict=True)
        ]
        predicted = sum(ops.sum(a * b) for a, b in zip(ahead, whole, strict=True))
        rate = ops.cast(learning_rate, dtype)
        length, updates = self._bound.length(
            predicted, rate, self.max_relative_decrease
        )
        updates.append((self._refreshes, self._refreshes + ops.cast(due, dtype)))
        updates += zip(self._momenta, momenta, strict=True)
        for state, new in zip(self._states, states, strict=True):
            updates += [(state[key], new[key]) for key in state]
        for group, step in zip(self._groups, whole, strict=True):
            for place, change in group.split(length * step).items():
                variable = self._trainable_variables[place]
                change = ops.cast(ops.reshape(change, variable.shape), variable.dtype)
                updates.append((variable, variable - change))
        assign_all(updates)

    def _add(self, name: str, shape: tuple[int, ...]) -> keras.Variable:
        return self.add_variable(shape, "zeros", dtype=real_dtype(), name=name)

    def _decayed(self) -> Tensor:
        """Return the part of the rate that its decay leaves."""
        if isinstance(self._learning_rate, FitDecay):
            return self._learning_rate.part(self._iterations)
        return 1.0
