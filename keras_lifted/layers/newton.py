"""Smooth activations whose proximal map is found by Newton's method."""

import abc
from typing import Any

from keras import ops

from keras_lifted.layers.base import Activation
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.precision import dtype_of
from keras_lifted.layers.precision import wide


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
