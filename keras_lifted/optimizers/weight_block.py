"""One kernel with its bias, and everything its proximal step remembers."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import Sample
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.lockstep import Anew
from keras_lifted.geometries.lockstep import Parts
from keras_lifted.geometries.momentum import average
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.norms import inner
from keras_lifted.geometries.norms import rms
from keras_lifted.geometries.norms import total
from keras_lifted.geometries.refresh import Due
from keras_lifted.geometries.tiles import Tiles
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype
from keras_lifted.lifting.affine import Affine
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.bias_momentum import BiasMomentum
from keras_lifted.optimizers.moments import Moments
from keras_lifted.optimizers.signal import Signal

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
        moments: of the layer's inputs.
        kernel_momentum: mean of the kernel's gradients, `(n, m)`.
        bias: the same of the bias's, `(m,)`, or None.
        signal: its share in the gradients.
        size: root mean square of the pre-activations, when last measured, `()`.
        weight: penalty weight of the block it feeds, `()`.
        change: relative change of the pre-activations in the last step, `()`.
        decrease: of the loss, that counts of what a whole step along its momentum
            promised when the last one was taken, `()`.
    """

    affine: Affine
    geometry: Geometry
    state: dict[str, keras.Variable]
    moments: Moments
    kernel_momentum: keras.Variable
    bias: BiasMomentum | None
    signal: Signal
    size: keras.Variable
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
        shapes = geometry.shapes(n, m, affine.plain)
        tiles = Tiles(n, geometry.widest) if geometry.needs_gram else None
        return cls(
            affine,
            geometry,
            {name: add(name, shape) for name, shape in shapes.items()},
            Moments.build(add, affine, tiles, decay),
            add("kernel_momentum", (n, m)),
            None if affine.bias is None else BiasMomentum.build(add, (m,)),
            Signal.build(add),
            add("size", ()),
            add("weight", ()),
            add("change", ()),
            add("decrease", ()),
        )

    def observe(self, rows: Tensor, due: Tensor) -> Parts[Tensor]:
        """Take in the inputs of a batch, `(rows, n)`; see `Moments.observe`.

        Returns:
            By how much their running mean fell, `(n,)`.
        """
        mean = self.moments.mean + 0.0  # its value now: a tensor may be a reference
        tiles = Tiles(self.affine.inputs, self.geometry.widest)
        yield from self.moments.observe(self.affine, tiles, rows, due)
        known = ops.convert_to_tensor(self.size)
        shown = self.moments.rows[:SHOWN]
        self.size.assign((yield Anew(due, lambda: self._size_of(shown), known)))
        return mean - ops.convert_to_tensor(self.moments.mean)

    def follow(
        self,
        rows: Tensor,
        displacements: Tensor,
        rest: tuple[Tensor | None, Tensor | None],
        shift: Tensor,
        rate: Tensor,
        keep: Tensor,
        due: Due,
    ) -> Parts[Displacement]:
        """Let the geometry take in a batch, in place of its gradient, and answer.

        One that is not finite counts as a gradient of zero.

        Args:
            rows: the layer's inputs `a`, `(rows, n)`.
            displacements: `δ`, in the units of the gradients, `(rows, m)`.
            rest: of the gradients of kernel and bias, besides `aᵀ δ`.
            shift: what `observe` returned.
            rate: learning rate.
            keep: what the running mean of the gradients keeps of itself.
            due: what the step computes anew.
        """
        rows = rows - self.moments.mean
        finite = ops.isfinite(total(rows) + total(displacements))
        rows, displacements = (
            ops.where(finite, part, ops.zeros_like(part))
            for part in (rows, displacements)
        )
        biased = self.affine.bias is not None
        joint = self._joint(*rest)
        rate = ops.cast(rate, rows.dtype)
        sample = Sample(rows, displacements, shift, rate, keep, biased, joint)
        gram = ops.convert_to_tensor(self.moments.gram)
        signal = self.signal.share
        new = yield from self.geometry.follow(self._state, sample, gram, signal, due)
        self._keep(new.state)
        return new

    def _joint(self, kernel: Tensor | None, bias: Tensor | None) -> Tensor | None:
        """Gradients of both in centred coordinates, None where neither has one."""
        if kernel is None and bias is None:
            return None
        n, m = self.affine.inputs, self.affine.outputs
        row = ops.zeros((1, m)) if bias is None else ops.reshape(bias, (1, m))
        full = ops.zeros((n, m)) if kernel is None else lifted_real(kernel)
        full = full - ops.convert_to_tensor(self.moments.mean)[:, None] * row
        full = ops.concatenate([full, row], axis=0)
        return ops.where(ops.all(ops.isfinite(full)), full, ops.zeros_like(full))

    @property
    def _state(self) -> dict[str, Tensor]:
        return {k: ops.convert_to_tensor(v) for k, v in self.state.items()}

    def _keep(self, state: dict[str, Tensor]) -> None:
        for name, variable in self.state.items():
            variable.assign(state[name])

    def weigh(self, problem: LiftedProblem, owner: int | None) -> None:
        """Note the batch's size, and the weight of the block that it feeds."""
        count = self.signal.count
        count.assign(ops.cast(problem.batch.size, count.dtype))
        one = ops.ones((), real_dtype())
        self.weight.assign(one if owner is None else problem.weights[owner])

    def step(
        self,
        gradient: Tensor,
        rate: Tensor,
        part: Tensor,
        keep: Tensor,
        largest_change: float,
        followed: Displacement | None,
        due: Due,
    ) -> None:
        """Move kernel and bias.

        Args:
            gradient: of the kernel, in its shape.
            rate: learning rate.
            part: of the step at that rate that is taken at most.
            keep: what the running mean of the gradients keeps of itself.
            largest_change: bound on the relative change of pre-activations.
            followed: what `follow` answered if it took the batch in; the gradient is
                not read then.
            due: what is computed anew.
        """
        affine = self.affine
        if followed is None:
            matrix = ops.reshape(lifted_real(gradient), self.kernel_momentum.shape)
            slope = average(self.kernel_momentum, matrix, keep)
            moved = self._displaced(slope, rate, due)
        else:
            moved = followed
        joint, length = moved.joint, moved.length
        mean = ops.convert_to_tensor(self.moments.mean)
        rows = self.moments.rows[:SHOWN] - mean
        one, zero = ops.ones_like(rows[:, :1]), ops.zeros_like(rows[:1, :1])
        probes = ops.concatenate([rows, mean[None]], axis=0)
        probes = ops.concatenate([probes, ops.concatenate([one, zero])], axis=1)
        shifts = ops.matmul(probes, joint)  # of pre-activations; the last, of the mean
        change = length * rms(shifts[:-1]) / (self.size + TINY)
        short = ops.minimum(part, largest_change / (change + TINY))
        short = ops.where(ops.isfinite(short), short, ops.zeros_like(short))
        self.change.assign(short * change)
        kernel, bias = joint[:-1], joint[-1] - shifts[-1]
        promise = moved.promise
        if promise is None:
            promise = inner(slope, kernel)
            if self.bias is not None:
                promise = promise + ops.sum(self.bias.ahead * bias)
        if affine.bias is not None:
            subtract(affine.bias, short * length, bias)
        self.decrease.assign(self.geometry.counted * length * promise)
        subtract(affine.kernel, short * length, kernel)

    def _displaced(self, slope: Tensor, rate: Tensor, due: Due) -> Displacement:
        """The displacement of kernel and bias; takes the geometry's state in."""
        mean = ops.convert_to_tensor(self.moments.mean)
        gram = self.moments.gram
        step = Step(
            slope,
            None if self.bias is None else ops.convert_to_tensor(self.bias.ahead),
            mean,
            self.moments.rows - mean,
            self.size.value,
            ops.cast(rate, slope.dtype),
            ops.convert_to_tensor(self.weight),
            self.signal.share,
            due,
        )
        gram = None if gram is None else ops.convert_to_tensor(gram)
        new = self.geometry.displace(self._state, step, gram)
        self._keep(new.state)
        return new

    def _size_of(self, rows: Tensor) -> Tensor:
        """Root mean square of the pre-activations, bounded from below."""
        shape = (self.affine.inputs, self.affine.outputs)
        z = ops.matmul(rows, ops.reshape(lifted_real(self.affine.kernel), shape))
        if self.affine.bias is not None:
            z = z + ops.reshape(lifted_real(self.affine.bias), (-1,))
        return ops.maximum(rms(z), LEAST * rms(rows))


def subtract(variable: keras.Variable, length: Tensor, step: Tensor) -> None:
    """Move `variable` by `-length · step`, of its size, where that is finite."""
    step = length * ops.reshape(step, variable.shape)
    step = ops.where(ops.isfinite(step), step, ops.zeros_like(step))
    variable.assign(variable - ops.cast(step, variable.dtype))
