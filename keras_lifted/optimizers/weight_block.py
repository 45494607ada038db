"""One kernel with its bias, and everything its proximal step remembers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import cond
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import Sample
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.newton_schulz import TINY
from keras_lifted.geometries.tiles import Tiles
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.affine import Affine
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.moments import Moments
from keras_lifted.optimizers.promise import unbiased
from keras_lifted.optimizers.refresh import Due
from keras_lifted.optimizers.signal import KEEP
from keras_lifted.optimizers.signal import UNMEASURED
from keras_lifted.optimizers.signal import batch_share
from keras_lifted.optimizers.signal import sample_share

Tensor = Any

# Pre-activations smaller than this part of the inputs (those of a kernel that
# starts at zero) count as this large when a step is compared with them.
LEAST = 0.1
# Rows of the last batch by which the change of pre-activations is measured.
SHOWN = 32


@dataclasses.dataclass(frozen=True)
class WeightBlock:
    """State of one kernel.

    Attributes:
        affine: the layer.
        geometry: of its steps.
        state: what the geometry keeps.
        followed: 1 where the state took in the last batch already, `()`.
        moments: of the layer's inputs.
        kernel_momentum: as a matrix, `(n, m)`.
        bias_momentum: `(m,)`, or None.
        signal: running part of one sample's squared gradient that is no
            noise, `()`.
        count: samples of the last batch, `()`.
        weight: penalty weight of the block it feeds, `()`.
        change: relative change of the pre-activations in the last step, `()`.
        decrease: of the loss, that a whole step along its momentum promised
            when the last one was taken, `()`.
    """

    affine: Affine
    geometry: Geometry
    state: dict[str, keras.Variable]
    followed: keras.Variable
    moments: Moments
    kernel_momentum: keras.Variable
    bias_momentum: keras.Variable | None
    signal: keras.Variable
    count: keras.Variable
    weight: keras.Variable
    change: keras.Variable
    decrease: keras.Variable

    @classmethod
    def build(
        cls,
        optimizer: keras.optimizers.Optimizer,
        affine: Affine,
        geometry: Geometry,
        decay: float,
    ) -> WeightBlock:
        """Add the variables to `optimizer`."""

        def add(
            name: str, shape: tuple[int, ...], initializer: Any = "zeros"
        ) -> keras.Variable:
            return optimizer.add_variable(
                shape,
                initializer=initializer,
                dtype=real_dtype(),
                aggregation="mean",
                name=f"{affine.name}_{name}",
            )

        n, m = affine.inputs, affine.outputs
        tiles = Tiles(n, geometry.widest) if geometry.needs_gram else None
        return cls(
            affine,
            geometry,
            {name: add(name, shape) for name, shape in geometry.shapes(n, m).items()},
            add("followed", ()),
            Moments.build(add, affine, tiles, decay),
            add("kernel_momentum", (n, m)),
            None if affine.bias is None else add("bias_momentum", (m,)),
            add("signal", (), keras.initializers.Constant(UNMEASURED)),
            add("count", ()),
            add("weight", ()),
            add("change", ()),
            add("decrease", ()),
        )

    def observe(self, rows: Tensor, due: Tensor) -> None:
        """Take in the inputs of a batch, `(rows, n)`; see `Moments.observe`."""
        tiles = Tiles(self.affine.inputs, self.geometry.widest)
        self.moments.observe(self.affine, tiles, rows, due)

    def measure(self, rows: Tensor, displacements: Tensor, due: Due) -> None:
        """Take the signal's share of a batch in, where moments are due."""
        known = ops.convert_to_tensor(self.signal)
        rows = rows - self.moments.mean

        def measured() -> Tensor:
            new = sample_share(rows, displacements)
            keep = ops.where(ops.equal(due.taken, 0), 0.0, KEEP)
            new = keep * known + (1.0 - keep) * new
            return ops.where(ops.isfinite(new), new, known)

        self.signal.assign(cond(due.moments, measured, lambda: known))

    def assume(self, others: Sequence[WeightBlock]) -> None:
        """Take the signal to be as strong as in `others`, on average."""
        self.signal.assign(sum(each.signal for each in others) / len(others))

    @property
    def share(self) -> Tensor:
        """Part of the squared gradient of a batch that is no noise."""
        return batch_share(self.signal, self.count)

    def follow(
        self, rows: Tensor, displacements: Tensor, momentum: float, due: Due
    ) -> None:
        """Let the geometry take in a batch, where that costs less than a gradient.

        Args:
            rows: the layer's inputs, `(rows, n)`.
            displacements: `δ`, in the units of the gradients, `(rows, m)`.
            momentum: of the gradients.
            due: what the step computes anew all the same.
        """
        n, m = self.affine.inputs, self.affine.outputs
        count = ops.cast(ops.shape(rows)[0], "float32")
        cheap = count * (n * n + n * m + m * m) < 1.0 * n * m * (n + m)
        finite = ops.isfinite(ops.sum(rows) + ops.sum(displacements))
        taken = ops.logical_and(
            ops.logical_and(cheap, finite), ops.logical_not(due.factors)
        )
        state = {k: ops.convert_to_tensor(v) for k, v in self.state.items()}
        biased = self.affine.bias is not None
        sample = Sample(rows - self.moments.mean, displacements, momentum, biased)
        for name, value in self.geometry.follow(state, sample, taken).items():
            self.state[name].assign(value)
        self.followed.assign(ops.cast(taken, self.followed.dtype))

    def weigh(self, problem: LiftedProblem, owner: int | None) -> None:
        """Note the batch's size, and the weight of the block that it feeds."""
        self.count.assign(ops.cast(problem.batch.size, self.count.dtype))
        one = ops.ones((), real_dtype())
        self.weight.assign(one if owner is None else problem.weights[owner])

    def remember_bias(self, gradient: Tensor, momentum: float) -> None:
        """Take in the gradient of the bias."""
        assert self.bias_momentum is not None
        gradient = ops.reshape(lifted_real(gradient), (self.affine.outputs,))
        average(self.bias_momentum, gradient, momentum)

    def step(
        self,
        gradient: Tensor,
        rate: Tensor,
        part: Tensor,
        momentum: float,
        largest_change: float,
        due: Due,
    ) -> None:
        """Move kernel and bias.

        Args:
            gradient: of the kernel, in its shape.
            rate: learning rate.
            part: of the step at that rate that is taken at most.
            momentum: of the gradients.
            largest_change: bound on the relative change of pre-activations.
            due: what is computed anew.
        """
        affine, moments = self.affine, self.moments
        matrix = ops.reshape(lifted_real(gradient), (affine.inputs, affine.outputs))
        average(self.kernel_momentum, matrix, momentum)
        mean = ops.convert_to_tensor(moments.mean)
        rows = moments.rows - mean
        shown = rows[:SHOWN]
        size = self._size(shown, mean)
        kernel, *shifts = self._direction(rate, rows, mean, size, due)
        moved = ops.matmul(shown, kernel)
        moved = moved + shifts[0] if shifts else moved
        change = _rms(moved) / (size + TINY)
        short = ops.minimum(part, largest_change / (change + TINY))
        short = ops.where(ops.isfinite(short), short, ops.zeros_like(short))
        self.change.assign(short * change)
        shifts = [shift - ops.matmul(mean, kernel) for shift in shifts]
        self.decrease.assign(self._promise(kernel, shifts, momentum, due))
        subtract(affine.kernel, ops.reshape(short * kernel, affine.kernel.shape))
        for shift in shifts:
            assert affine.bias is not None
            subtract(affine.bias, ops.reshape(short * shift, affine.bias.shape))

    def _promise(
        self, kernel: Tensor, shifts: Sequence[Tensor], momentum: float, due: Due
    ) -> Tensor:
        """`⟨M, ΔW⟩`, bias included, `M` the mean of the gradients so far."""
        promise = ops.sum(self.kernel_momentum * kernel)
        for shift in shifts:
            promise = promise + ops.sum(self.bias_momentum * shift)
        return unbiased(promise, momentum, due.taken)

    def _direction(
        self,
        rate: Tensor,
        rows: Tensor,
        mean: Tensor,
        size: Tensor,
        due: Due,
    ) -> list[Tensor]:
        """The displacement of kernel and bias, computed anew where that is due."""
        state = {k: ops.convert_to_tensor(v) for k, v in self.state.items()}
        slope = ops.convert_to_tensor(self.kernel_momentum)
        rate = ops.cast(rate, slope.dtype)
        bias = self.bias_momentum
        bias = None if bias is None else ops.convert_to_tensor(bias)
        gram = self.moments.gram
        gram = None if gram is None else ops.convert_to_tensor(gram)
        weight = ops.convert_to_tensor(self.weight)
        exact = ops.logical_or(due.factors, ops.equal(self.followed, 0.0))
        step = Step(
            slope, bias, mean, rows, size, rate, weight, self.share, exact, due.factors
        )
        new = self.geometry.displace(state, step, gram)
        for name, variable in self.state.items():
            variable.assign(new.state[name])
        return [new.kernel] if new.bias is None else [new.kernel, new.bias]

    def _size(self, rows: Tensor, mean: Tensor) -> Tensor:
        """Root mean square of the pre-activations, bounded from below."""
        shape = (self.affine.inputs, self.affine.outputs)
        weights = ops.reshape(lifted_real(self.affine.kernel), shape)
        z = ops.matmul(rows, weights) + ops.matmul(mean, weights)
        if self.affine.bias is not None:
            z = z + ops.reshape(lifted_real(self.affine.bias), (-1,))
        return ops.maximum(_rms(z), LEAST * _rms(rows + mean))


def subtract(variable: keras.Variable, step: Tensor) -> None:
    """Move `variable` by `-step`, where that is finite."""
    step = ops.where(ops.isfinite(step), step, ops.zeros_like(step))
    variable.assign(variable - ops.cast(step, variable.dtype))


def average(variable: keras.Variable, value: Tensor, keep: float) -> None:
    """Let the running mean `variable` take `value` in."""
    variable.assign(keep * variable + (1.0 - keep) * value)


def _rms(values: Tensor) -> Tensor:
    return ops.sqrt(ops.mean(ops.square(values)))
