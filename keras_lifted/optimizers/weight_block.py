"""One kernel with its bias, and everything its proximal step remembers."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import cond
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import State
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.newton_schulz import TINY
from keras_lifted.geometries.tiles import Tiles
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.inputs import Affine
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.moments import Moments

Tensor = Any

# Pre-activations smaller than this part of the inputs (those of a kernel that
# starts at zero) count as this large when a step is compared with them.
LEAST = 0.1


@dataclasses.dataclass(frozen=True)
class WeightBlock:
    """State of one kernel.

    Attributes:
        affine: the layer.
        geometry: of its steps.
        state: what the geometry keeps.
        direction: the last displacement at rate 1, as kernel and bias; empty
            where every step computes its own.
        moments: of the layer's inputs.
        kernel_momentum: as a matrix, `(n, m)`.
        bias_momentum: `(m,)`, or None.
        weight: penalty weight of the block it feeds, `()`.
        change: relative change of the pre-activations in the last step, `()`.
    """

    affine: Affine
    geometry: Geometry
    state: dict[str, keras.Variable]
    direction: tuple[keras.Variable, ...]
    moments: Moments
    kernel_momentum: keras.Variable
    bias_momentum: keras.Variable | None
    weight: keras.Variable
    change: keras.Variable

    @classmethod
    def build(
        cls,
        optimizer: keras.optimizers.Optimizer,
        affine: Affine,
        geometry: Geometry,
        decay: float,
        reuse: bool,
    ) -> WeightBlock:
        """Add the variables to `optimizer`; `reuse`: keep directions."""

        def add(name: str, shape: tuple[int, ...]) -> keras.Variable:
            return optimizer.add_variable(
                shape,
                initializer="zeros",
                dtype=real_dtype(),
                aggregation="mean",
                name=f"{affine.name}_{name}",
            )

        n, m = affine.inputs, affine.outputs
        tiles = Tiles(n, geometry.widest) if geometry.needs_gram else None
        direction: tuple[keras.Variable, ...] = ()
        if reuse:
            direction = (add("kernel_direction", (n, m)),)
            if affine.bias is not None:
                direction = (*direction, add("bias_direction", (m,)))
        return cls(
            affine,
            geometry,
            {name: add(name, shape) for name, shape in geometry.shapes(n, m).items()},
            direction,
            Moments.build(add, affine, tiles, decay),
            add("kernel_momentum", (n, m)),
            None if affine.bias is None else add("bias_momentum", (m,)),
            add("weight", ()),
            add("change", ()),
        )

    def observe(self, rows: Tensor, due: Tensor) -> None:
        """Take in the inputs of a batch, `(rows, n)`; see `Moments.observe`."""
        tiles = Tiles(self.affine.inputs, self.geometry.widest)
        self.moments.observe(self.affine, tiles, rows, due)

    def weigh(self, problem: LiftedProblem, owner: int | None) -> None:
        """Note the penalty weight of the block whose activation follows."""
        one = ops.ones((), real_dtype())
        self.weight.assign(one if owner is None else problem.weights[owner])

    def remember_bias(self, gradient: Tensor, momentum: float) -> None:
        """Take in the gradient of the bias."""
        assert self.bias_momentum is not None
        _average(self.bias_momentum, lifted_real(gradient), momentum)

    def step(
        self,
        gradient: Tensor,
        rate: Tensor,
        momentum: float,
        largest_change: float,
        due: tuple[Tensor, Tensor],
    ) -> None:
        """Move kernel and bias.

        Args:
            gradient: of the kernel, in its shape.
            rate: learning rate.
            momentum: of the gradients.
            largest_change: bound on the relative change of pre-activations.
            due: whether the direction, and the factors behind it, are computed.
        """
        affine, moments = self.affine, self.moments
        matrix = ops.reshape(lifted_real(gradient), (affine.inputs, affine.outputs))
        _average(self.kernel_momentum, matrix, momentum)
        mean = ops.convert_to_tensor(moments.mean)
        rows = moments.rows - mean
        size = self._size(rows, mean)
        kernel, *shifts = self._direction(rate, rows, mean, size, due)
        moved = ops.matmul(rows, kernel)
        moved = moved + shifts[0] if shifts else moved
        change = _rms(moved) / (size + TINY)
        short = ops.minimum(1.0, largest_change / (change + TINY))
        short = ops.where(ops.isfinite(short), short, ops.zeros_like(short))
        self.change.assign(short * change)
        self._subtract(affine.kernel, ops.reshape(short * kernel, affine.kernel.shape))
        if shifts:
            shift = shifts[0] - ops.matmul(mean, kernel)
            self._subtract(affine.bias, short * shift)

    def _direction(
        self,
        rate: Tensor,
        rows: Tensor,
        mean: Tensor,
        size: Tensor,
        due: tuple[Tensor, Tensor],
    ) -> list[Tensor]:
        """The displacement of kernel and bias, computed anew where that is due."""
        state = {k: ops.convert_to_tensor(v) for k, v in self.state.items()}
        known = [ops.convert_to_tensor(v) for v in self.direction]
        slope = ops.convert_to_tensor(self.kernel_momentum)
        rate = ops.cast(rate, slope.dtype)
        bias = None
        if self.bias_momentum is not None:
            bias = ops.convert_to_tensor(self.bias_momentum)
            slope = slope - mean[:, None] * bias
        gram = self.moments.gram
        gram = None if gram is None else ops.convert_to_tensor(gram)
        weight = ops.convert_to_tensor(self.weight)

        def anew() -> tuple[list[Tensor], State]:
            step = Step(slope, bias, rows, size, rate, weight, due[1])
            new = self.geometry.displace(state, step, gram)
            parts = [new.kernel] if new.bias is None else [new.kernel, new.bias]
            return [part / (rate + TINY) for part in parts], new.state

        if known:
            parts, state = cond(due[0], anew, lambda: (known, state))
        else:
            parts, state = anew()
        for variable, value in zip(self.direction, parts, strict=False):
            variable.assign(value)
        for name, variable in self.state.items():
            variable.assign(state[name])
        return [rate * part for part in parts]

    def _size(self, rows: Tensor, mean: Tensor) -> Tensor:
        """Root mean square of the pre-activations, bounded from below."""
        shape = (self.affine.inputs, self.affine.outputs)
        weights = ops.reshape(lifted_real(self.affine.kernel), shape)
        z = ops.matmul(rows, weights) + ops.matmul(mean, weights)
        if self.affine.bias is not None:
            z = z + lifted_real(self.affine.bias)
        return ops.maximum(_rms(z), LEAST * _rms(rows + mean))

    @staticmethod
    def _subtract(variable: Any, step: Tensor) -> None:
        step = ops.where(ops.isfinite(step), step, ops.zeros_like(step))
        variable.assign(variable - ops.cast(step, variable.dtype))


def _average(variable: keras.Variable, value: Tensor, keep: float) -> None:
    variable.assign(keep * variable + (1.0 - keep) * value)


def _rms(values: Tensor) -> Tensor:
    return ops.sqrt(ops.mean(ops.square(values)))
