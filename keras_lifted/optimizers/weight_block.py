"""One kernel with its bias, and everything its proximal step remembers."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

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
        moments: of the layer's inputs.
        kernel_momentum: as a matrix, `(n, m)`.
        bias_momentum: `(m,)`, or None.
        weight: penalty weight of the block it feeds, `()`.
        change: relative change of the pre-activations in the last step, `()`.
    """

    affine: Affine
    geometry: Geometry
    state: State
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
    ) -> WeightBlock:
        """Add the variables to `optimizer`."""

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
        return cls(
            affine,
            geometry,
            geometry.build(add, n, m),
            Moments.build(add, affine, tiles, decay),
            add("kernel_momentum", (n, m)),
            None if affine.bias is None else add("bias_momentum", (m,)),
            add("weight", ()),
            add("change", ()),
        )

    def observe(self, rows: Tensor) -> None:
        """Take in the inputs of a batch, `(rows, n)`."""
        tiles = Tiles(self.affine.inputs, self.geometry.widest)
        self.moments.observe(self.affine, tiles, rows)

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
        due: Tensor,
    ) -> None:
        """Move kernel and bias.

        Args:
            gradient: of the kernel, in its shape.
            rate: learning rate.
            momentum: of the gradients.
            largest_change: bound on the relative change of pre-activations.
            due: whether factors are refreshed.
        """
        affine, moments = self.affine, self.moments
        matrix = ops.reshape(lifted_real(gradient), (affine.inputs, affine.outputs))
        _average(self.kernel_momentum, matrix, momentum)
        mean = ops.convert_to_tensor(moments.mean)
        slope = ops.convert_to_tensor(self.kernel_momentum)
        bias = None
        if self.bias_momentum is not None:
            bias = ops.convert_to_tensor(self.bias_momentum)
            slope = slope - mean[:, None] * bias
        rows = moments.rows - mean
        weights = ops.reshape(lifted_real(affine.kernel), slope.shape)
        size = self._size(rows, mean, weights)
        gram = None if moments.gram is None else ops.convert_to_tensor(moments.gram)
        step = Step(
            slope,
            bias,
            rows,
            size,
            ops.cast(rate, slope.dtype),
            ops.convert_to_tensor(self.weight),
            due,
        )
        kernel, shift = self.geometry.displace(self.state, step, gram)
        moved = ops.matmul(rows, kernel)
        moved = moved if shift is None else moved + shift
        change = _rms(moved) / (size + TINY)
        short = ops.minimum(1.0, largest_change / (change + TINY))
        short = ops.where(ops.isfinite(short), short, ops.zeros_like(short))
        self.change.assign(short * change)
        self._subtract(affine.kernel, ops.reshape(short * kernel, affine.kernel.shape))
        if shift is not None:
            shift = shift - ops.matmul(mean, kernel)
            self._subtract(affine.bias, short * shift)

    def _size(self, rows: Tensor, mean: Tensor, weights: Tensor) -> Tensor:
        """Root mean square of the pre-activations, bounded from below."""
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
