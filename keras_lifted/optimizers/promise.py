"""How long a step may be, by the decrease of the loss that it promises."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.norms import TINY

Tensor = Any

# Part of the first step that is taken, before a promise has been measured.
FIRST = 0.1
# Decay of the running mean of squared losses, per batch.
KEEP = 0.9


@dataclasses.dataclass(frozen=True)
class Promise:
    """`Σ_l ⟨M_l, ΔW_l⟩`, at most a given part of the size of the loss.

    To first order the sum over the kernels is what a step lowers the loss by. It
    is large where many layers act on the output together, and where gradients
    grow along the depth; there steps must be short. At the learning rates that
    suit them best, networks of 4 to 21 affine layers with smooth and non-smooth
    activations, squared error and cross-entropy promise about a twentieth of
    their loss a step: Polyak's step with its smallest loss at zero, damped.

    Attributes:
        square: running mean of the squared losses of batches, `()`.
        part: of a whole step that is taken, `()`.

    Source: Polyak, "Minimization of unsmooth functionals", 1969.
    """

    square: keras.Variable
    part: keras.Variable

    @classmethod
    def build(cls, optimizer: keras.optimizers.Optimizer) -> Promise:
        """Add the variables to `optimizer`."""

        def add(name: str, value: float) -> keras.Variable:
            return optimizer.add_variable(
                (),
                initializer=keras.initializers.Constant(value),
                dtype="float32",
                name=name,
            )

        return cls(add("squared_loss", 0.0), add("part", FIRST))

    def limit(self, promised: Tensor, largest: float) -> None:
        """Set `part` for the next step.

        Args:
            promised: `Σ_l ⟨M_l, ΔW_l⟩` of the whole last step.
            largest: part of the root mean square loss that it may be.
        """
        allowed = largest * ops.sqrt(self.square)
        part = ops.minimum(1.0, allowed / (ops.maximum(promised, 0.0) + TINY))
        self.part.assign(ops.where(self.square > 0, part, self.part.value))

    def observe(self, loss: Tensor, taken: Tensor) -> None:
        """Take in the loss of a batch, after `taken` steps; not one that is NaN."""
        taken = ops.cast(taken, "float32")
        keep = ops.minimum(KEEP, taken / (taken + 1.0))
        new = keep * self.square + (1.0 - keep) * ops.square(loss)
        self.square.assign(ops.where(ops.isfinite(new), new, self.square.value))
