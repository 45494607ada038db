"""The interface of every proximal activation."""

from __future__ import annotations

import abc
import math
from typing import Any

import keras
from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.layers.context import current_scope
from keras_lifted.layers.gradients import per_sample_antiderivative
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import as_floating
from keras_lifted.layers.precision import as_real

__all__ = ["ProximalActivation", "sum_per_sample"]


class ProximalActivation(keras.layers.Layer, abc.ABC):
    """An activation that is a proximal map, `σ = prox_Ψ = ∇F*`.

    With the potential `Ψ` (convex) and `F(x) = ½‖x‖² + Ψ(x)`,

        σ(z) = argmin_x ½‖x − z‖² + Ψ(x) = ∇F*(z),
        F*(z) = ⟨z, σ(z)⟩ − ½‖σ(z)‖² − Ψ(σ(z)).

    A subclass is one activation. It writes `sigma`, `conjugate_terms`,
    `potential_terms` and `scaled_prox` as pure functions of tensors, and
    `sigma_difference` where a formula without cancellation exists. Learnable
    parameters are listed by `parameters()` and handed to those functions.

    Outside a lifting scope the layer is an ordinary Keras activation; inside
    one it hands its pre-activation to the scope and returns the answer.

    Source: Combettes & Pesquet, "Deep neural network structures solving
    variational inequalities", 2020; Wang & Benning, JMLR 24(232), 2023.

    Attributes:
        separable: whether each unit is activated by itself; where it is not,
            steps of `scaled_prox` are constant over the units it couples.
        bent_at_zero: whether it has a kink at zero, where frameworks take the slope
            on the left; inputs of many zeros meet it.
    """

    separable = True
    bent_at_zero = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return `σ(inputs)`, or what the open lifting scope puts in its place."""

        def ordinary(z: Tensor) -> Tensor:
            return self.sigma(z, *self.parameters())

        scope = current_scope()
        return ordinary(inputs) if scope is None else scope.ask(self, inputs, ordinary)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    # -- the mathematics, written by each activation ------------------------

    def parameters(self) -> tuple[Tensor, ...]:
        """Return learnable parameters, as tensors, in the order the functions take."""
        return ()

    @abc.abstractmethod
    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        """Return `σ(z)`, the shape and dtype of `z`."""

    @abc.abstractmethod
    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        """Return terms whose sum over a sample is `F*(z)`."""

    @abc.abstractmethod
    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        """Return terms whose sum over a sample is `Ψ(x)`, +∞ outside its domain."""

    @abc.abstractmethod
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        """Return `argmin_x ½‖x − v‖² + step · Ψ(x)`; `step` broadcasts against `v`."""

    def sigma_difference(self, z: Tensor, d: Tensor, *parameters: Tensor) -> Tensor:
        """Return `σ(z) − σ(z − d)`; override it with a formula without cancellation."""
        return self.sigma(z, *parameters) - self.sigma(z - d, *parameters)

    # -- what users call -----------------------------------------------------

    def conjugate(self, z: Tensor) -> Tensor:
        """Return `F*(z)` of each sample, an antiderivative of the activation.

        Its gradient is `σ(z)` itself, computed as the activation computes it;
        with learnable parameters it is what autodiff makes of the formula.

        Args:
            z: tensor. Pre-activations, `(batch, ...)`.

        Returns:
            `(batch,)`, float32 at least: sums over a sample overflow float16.

        Example:

        >>> import keras_lifted as kl
        >>> float(kl.layers.ReLU().conjugate([[3.0, -1.0]])[0])
        4.5
        """
        z = as_real(z)
        parameters = self.parameters()
        if parameters:
            return sum_per_sample(self.conjugate_terms(z, *parameters))
        return per_sample_antiderivative(self.conjugate_terms, self.sigma, z)

    def potential(self, x: Tensor) -> Tensor:
        """Return `Ψ(x)` of each sample, +∞ outside the domain.

        Args:
            x: tensor. Points, `(batch, ...)`.

        Returns:
            `(batch,)`, float32 at least.

        Example:

        >>> import keras_lifted as kl
        >>> kl.layers.ReLU().potential([[3.0], [-1.0]]).numpy().tolist()
        [0.0, inf]
        """
        return sum_per_sample(self.potential_terms(as_real(x), *self.parameters()))

    def prox(self, v: Tensor, step: Any = 1.0) -> Tensor:
        """Return `argmin_x ½‖x − v‖² + step · Ψ(x)`; `step = 1` is the activation.

        Args:
            v: tensor. Points, `(batch, ...)`.
            step: float or tensor. A positive number, or a tensor that broadcasts
                against `v`. Defaults to 1.0.

        Raises:
            ValueError: If a Python number `step` is not positive and finite.

        Example:

        >>> import keras_lifted as kl
        >>> kl.layers.SoftThreshold(1.0).prox([[3.0]], 2.0).numpy().tolist()
        [[1.0]]
        """
        if isinstance(step, (int, float)) and not 0 < step < math.inf:
            raise ValueError(
                "`step` of a proximal map must be a positive finite number; "
                "a gradient step has length `step > 0`. "
                f"Received: step={step}"
            )
        v = as_floating(v)
        step = ops.convert_to_tensor(step, dtype=v.dtype)
        return self.scaled_prox(v, step, *self.parameters())


class Activation(ProximalActivation):
    """One of this package, saved by the arguments of its constructor."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **arguments_of(self)}
