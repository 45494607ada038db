"""The lifted problem of one batch: its energy, and passes through its blocks.

    E(θ, X) = Σ_i c_i [ ℓ(y_i, z_L,i) + Σ_l w_l P_l(x_l,i, z_l,i) ]

`c_i` is the weight of sample i in the user's loss, so the first term is that
loss exactly. Every pass calls the model once inside a lifting scope; lifted
variables are dicts {key of the call: tensor}.
"""

import copy
import dataclasses
import inspect
import math
from collections.abc import Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_lifted.backend import STATEFUL, gradient
from keras_lifted.layers.chain import batch_first
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real, real_dtype
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.rule import Move, Scale, moved
from keras_lifted.lifting.scope import Answer, Call, LiftingScope, StateScope
from keras_lifted.lifting.stacked import Passed, Rounds, StackPass, recording
from keras_lifted.lifting.structure import find_structure, samples_first
from keras_lifted.lifting.swept import Lifted, Stored, Swept
from keras_lifted.penalties.base import Penalty

Tensor = Any


class LiftedProblem:
    """One batch, the current weights, and the free lifted variables.

    Args:
        model: a Keras model.
        blocks: its blocks, from `find_blocks`.
        batch: the data.
        penalty: ties lifted variables to their blocks.
        weights: penalty weight of each block, `(blocks,)`.
        least: the weight from which on those that the penalty does not name are
            chosen from the data (see `Scale`); None to take all as they are.
        loss_scale: factor on the loss (mixed precision), 1 otherwise.
        by_sample: whether every lifted call must have the sample as its first axis.

    Attributes:
        stored: lifted variables to start from; None for the forward pass.
    """

    def __init__(
        self,
        model: keras.Model,
        blocks: Sequence[Block],
        batch: Batch,
        penalty: Penalty,
        weights: Tensor,
        least: float | None = None,
        loss_scale: Tensor | float = 1.0,
        by_sample: bool = False,
    ) -> None:
        self.model = model
        self.blocks = blocks
        self.batch = batch
        self.penalty = penalty
        self.weights = lifted_real(weights)
        self.least = least
        self.loss_scale = lifted_real(loss_scale)
        self.clamped = True
        self.stored: Stored | None = None
        self.trainable = list(model.trainable_variables)
        self.values = [v.value for v in self.trainable]
        among = {id(v) for v in self.trainable}
        every = [] if STATEFUL else [*model.variables, *model.metrics_variables]
        self._others = [(v, v.value) for v in every if id(v) not in among]
        self.elsewhere: set[str] = set()
        kept = {b.name for b in blocks if math.isinf(penalty.weight_of(b.name))}
        structure = find_structure(self._measured, batch.x, kept, self.values)
        c = batch.scale * self.loss_scale
        self.sampled: set[str] = set()
        if by_sample or len(c.shape):
            self.sampled = samples_first(self._outputs, batch.x, self.values)
        if by_sample:
            lifted = [c for c in structure.calls if c.key in self.sampled]
            structure = dataclasses.replace(structure, calls=tuple(lifted))
        self.structure = structure
        self._c = c, ops.mean(c)

    def _outputs(self, answer: Answer, x: Any, trainable: Sequence[Tensor]) -> Any:
        with StateScope(self.trainable, trainable, self._others):
            return self._call(answer, x)

    def _measured(self, answer: Answer, x: Any, trainable: Sequence[Tensor]) -> Any:
        """Outputs and loss; the outputs twice where no targets are given."""
        if self.batch.y is None:
            outputs = self._outputs(answer, x, trainable)
            return outputs, outputs
        batch = dataclasses.replace(self.batch, x=x)
        loss, outputs, _ = self.run(answer, trainable, batch)
        return outputs, loss

    def free(self) -> Self:
        """Return this problem without its loss: nothing but the penalties."""
        free = copy.copy(self)
        free.clamped = False
        return free

    def run(
        self, answer: Answer, trainable: Sequence[Tensor], batch: Batch
    ) -> tuple[Tensor, Any, StateScope]:
        """Return loss, outputs and new state of one call in a scope of `answer`.

        Every call starts from the same state, so that dropout masks repeat.
        """
        with StateScope(self.trainable, trainable, self._others) as state:
            outputs = self._call(answer, batch.x)
            given = {"x": batch.x, "y": batch.y, "sample_weight": batch.sample_weight}
            loss = self.model.compute_loss(**given, y_pred=outputs, training=True)
        loss = lifted_real(loss)
        if not self.clamped:  # the same graph, in which the loss weighs nothing
            loss = 0.0 * loss
        return loss, outputs, state

    def _call(self, answer: Answer, x: Any) -> Any:
        """Return the outputs, in training mode if the model knows of one."""
        with LiftingScope(self.blocks, answer, self.elsewhere):
            if "training" in inspect.signature(self.model.call).parameters:
                return self.model(x, training=True)
            return self.model(x)

    def scale(self, call: Call) -> Scale:
        """Return `c_i w_l`; with one `c` where the first axis is not the sample's."""
        c, mean = self._c
        given = self.penalty.given(self.blocks[call.index].name)
        return Scale(
            c if call.key in self.sampled else mean,
            self.weights[call.index],
            self.least if given is None else None,
        )

    # -- passes ---------------------------------------------------------------

    def sweep(
        self,
        move: Move,
        coordinates: Lifted | None = None,
        fixed: Lifted | None = None,
        with_weights: bool = False,
        rounds: Rounds | None = None,
    ) -> Swept:
        """Call the model once, and sweep back once from output to input.

        The rule at an activation receives `q`, the derivative of everything
        downstream in its output over `c w`, lets `move` choose the lifted
        variable, and passes `c w ∂P/∂z` there on: each block sees the new
        lifted variables of the blocks behind it (Gauss-Seidel).

        Args:
            move: chooses the new lifted variables.
            coordinates: coordinates of the current ones; None for the forward pass.
            fixed: pre-activations known beforehand, not computed again.
            with_weights: also take the weight gradients, in the same sweep.
            rounds: of the blocks of a stack all at once; None for one of them
                after the other.
        """
        keys, first = self.structure.keys, coordinates is None
        known = {} if fixed is None else fixed
        assigned: list[Any] = []

        def function(
            current: Lifted, numbers: Lifted, weights: Sequence[Tensor]
        ) -> tuple[Tensor, Any]:
            z_of: Lifted = {}

            def answer(call: Call, z: Tensor) -> Tensor:
                if call.key not in current:
                    return call.function(z)
                pair, scale = (current[call.key], numbers[call.key]), self.scale(call)
                if call.chain is not None:
                    each = StackPass(call, self.penalty, move, scale, rounds)
                    start = each.begin(z, None if first else pair[0])
                    z_of[call.key] = batch_first(start.z)
                    return each.output(z, pair, start)
                if call.key in known:
                    z = ops.cast(ops.stop_gradient(known[call.key]), z.dtype)
                z_of[call.key] = lifted_real(z)
                return moved(call, z, pair, move, self.penalty, scale, first)

            trainable = weights or self.values
            loss, outputs, state = self.run(answer, trainable, self.batch)
            assigned[:] = state.assigned
            updates = [state.get_current_value(v) for v in assigned]
            return ops.sum(loss) * self.loss_scale, (loss, outputs, updates, z_of)

        if coordinates is None:
            shapes = self.structure.shapes
            coordinates = {key: ops.zeros(shapes[key], real_dtype()) for key in keys}
        numbers = {key: ops.zeros((), real_dtype()) for key in keys}
        arguments = [coordinates, numbers, self.values if with_weights else []]
        (_, auxiliary), (new, chosen, slopes) = gradient(function, arguments)
        loss, outputs, updates, z_of = auxiliary
        return Swept(
            loss,
            outputs,
            list(zip(assigned, updates, strict=True)),
            z_of,
            {key: new[key] for key in keys},  # in their order, which JAX changes
            slopes,
            chosen,
        )

    def forward(self) -> Swept:
        """Return the forward pass alone; its coordinates are where it passed."""
        found: Passed = {}
        loss, outputs, state = self.run(recording(found), self.values, self.batch)
        updates = [(v, state.get_current_value(v)) for v in state.assigned]
        z_of = {key: lifted_real(found[key][0]) for key in self.structure.keys}
        s = self.origin(z_of)
        return Swept(loss, outputs, updates, z_of, s, [])

    def origin(self, z_of: Lifted) -> Lifted:
        """Return the coordinates of the forward pass."""
        origins = {}
        for call in self.structure.calls:
            sigma = ProximalMap.of(call.activation)
            origins[call.key] = self.penalty.origin(sigma, z_of[call.key])
        return origins
