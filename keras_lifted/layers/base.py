"""What activations derive from."""

import abc
import functools
import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, final

import keras
from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.layers.gradients import per_sample_antiderivative, sum_per_sample
from keras_lifted.layers.precision import Tensor, as_floating, as_real, dtype_of, wide

# The innermost lifting scope that is open in this thread, or None. Layers know of it
# that `ask(layer, z, function, chain)` answers `function(z)` or its substitute; a stack
# has a `chain`, and its input is `z`.
open_scope: ContextVar[Any] = ContextVar("open_scope", default=None)


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

        scope = open_scope.get()
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
        """Return `σ(z) − σ(z − d)`; override it with a formula without cancellation.

        Where `d` is too small to tell the two apart it is a part of a longer secant.
        """
        x = self.sigma(z, *parameters)
        size, moved = ops.maximum(ops.abs(z), ops.abs(x)), ops.abs(d)
        if not self.separable:
            axes = tuple(range(1, len(z.shape)))
            size, moved = (
                ops.max(each, axis=axes, keepdims=True) for each in (size, moved)
            )
        shortest = 2.0**-26 if dtype_of(z) == "float64" else 2.0**-11  # √rounding
        longer = ops.maximum(shortest * size / ops.maximum(moved, 1e-25), 1.0)
        return (x - self.sigma(z - longer * d, *parameters)) / longer

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

        >>> import keras_lifted as kl, numpy as np
        >>> np.array(kl.layers.ReLU().potential([[3.0], [-1.0]])).tolist()
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

        >>> import keras_lifted as kl, numpy as np
        >>> np.array(kl.layers.SoftThreshold(1.0).prox([[3.0]], 2.0)).tolist()
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


class Activation(Saved, ProximalActivation):
    """One of this package, saved by the arguments of its constructor."""


class Smooth(Activation):
    """An activation of each unit by itself whose `prox` takes Newton's method."""

    @abc.abstractmethod
    def slope(self, u: Tensor) -> Tensor:
        """Return `σ'(u)`, in the precision of `u`."""

    @wide
    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        # With `x = σ(u)` and `Ψ'(x) = u − σ(u)` the point solves
        # `g(u) = step · u + (1 − step) σ(u) = v`. The slope of `g` lies between 1 and
        # `step`, which brackets the root; Newton's step is replaced by a bisection
        # where it leaves the bracket. At `step = 1` the answer is `σ(v)` exactly. The
        # last Newton step is the one differentiated: its derivative is that of the
        # implicit function.
        def residual(u: Tensor, v: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
            value = self.sigma(u)
            return v - value - step * (u - value), step + (1.0 - step) * self.slope(u)

        point, length = ops.stop_gradient(v), ops.stop_gradient(step)
        start, _ = residual(point, point, length)
        near = point + start / ops.maximum(length, 1.0)
        far = point + start / ops.minimum(length, 1.0)

        def iterate(_: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            u, low, high = state
            missing, rise = residual(u, point, length)
            low = ops.where(missing > 0, u, low)
            high = ops.where(missing > 0, high, u)
            newton = u + missing / rise
            # A residual of rounding size may point out of the bracket: no reason to
            # leave a root that is found.
            noise = rounding * (ops.abs(point) + (1.0 + length) * ops.abs(u))
            outside = ((newton < low) | (newton > high)) & (ops.abs(missing) > noise)
            return ops.where(outside, 0.5 * (low + high), newton), low, high

        count, rounding = (20, 2.0**-49) if dtype_of(v) == "float64" else (14, 2.0**-20)
        state = (near, ops.minimum(near, far), ops.maximum(near, far))
        root = ops.stop_gradient(ops.fori_loop(0, count, iterate, state)[0])
        missing, rise = residual(root, v, step)
        return self.sigma(root + missing / rise)


@final
class AnyActivation(ProximalActivation):
    """`σ` of any function or Keras layer, for penalties that need no proximal map."""

    separable = False

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        if isinstance(function, keras.layers.Layer):  # whose `call` may be hooked
            function = functools.partial(type(function).call, function)
        self._function = function

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return self._function(z)

    def _none(self, *args: Any, **keywords: Any) -> Tensor:
        raise NotImplementedError("What is no proximal map has a value only.")

    conjugate_terms = potential_terms = scaled_prox = _none
