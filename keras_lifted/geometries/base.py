"""The interface of every geometry of a weight block's proximal step."""

from __future__ import annotations

import abc
import dataclasses
from typing import Any

from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.geometries.lockstep import Parts
from keras_lifted.geometries.refresh import Due

Tensor = Any
State = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Step:
    """What a geometry reads to choose a direction.

    Attributes:
        kernel: mean of the kernel's gradients, looking ahead, `(n, m)`.
        bias: that of the bias's, `(m,)`, or None.
        mean: running mean of the inputs, `(n,)`.
        rows: inputs of the last batch, less their running mean, `(rows, n)`.
        reference: root mean square of the block's pre-activations.
        rate: the learning rate.
        curvature: of the block's energy in its pre-activations: the penalty
            weight, and 1 for an output block.
        signal: part of the squared gradient that is no noise of its batch.
        due: what is computed anew.
    """

    kernel: Tensor
    bias: Tensor | None
    mean: Tensor
    rows: Tensor
    reference: Tensor
    rate: Tensor
    curvature: Tensor
    signal: Tensor
    due: Due

    @property
    def gradient(self) -> Tensor:
        """`kernel` in coordinates in which the inputs have zero mean.

        Without a bias the coordinates stay as they are. A geometry that reads
        it in some steps only reads it inside their branch.
        """
        if self.bias is None:
            return self.kernel
        return self.kernel - self.mean[:, None] * self.bias

    def joined(self, kernel: Tensor, bias: Tensor | None) -> Tensor:
        """A kernel's part with that of the bias as its last row."""
        row = ops.zeros_like(kernel[:1]) if bias is None else bias[None]
        return ops.concatenate([kernel, row], axis=0)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A batch whose gradient is `aᵀ δ`, and `rest` where the kernel is read elsewhere.

    Attributes:
        rows: inputs `a`, less their running mean, `(rows, n)`.
        displacements: `δ`, `(rows, m)`.
        shift: what was subtracted from the inputs before, less what is now, `(n,)`.
        rate: the learning rate.
        keep: what the running mean of the gradients keeps of itself, `()`.
        biased: whether the layer has a bias.
        rest: of the gradient, with a last row for the bias, `(n + 1, m)`, or None.
    """

    rows: Tensor
    displacements: Tensor
    shift: Tensor
    rate: Tensor
    keep: Tensor
    biased: bool
    rest: Tensor | None = None


@dataclasses.dataclass(frozen=True)
class Displacement:
    """What a geometry answers: `length · joint` is to be subtracted.

    Attributes:
        joint: the kernel's part, and below it a row for the bias in the
            gradient's coordinates, zeros where there is none, `(n + 1, m)`.
        length: a number, `()`.
        state: new values of the geometry's state.
        promise: `⟨M, joint⟩`, `M` the mean of the gradients, or None where the step
            that was answered holds M.
    """

    joint: Tensor
    length: Tensor
    state: State
    promise: Tensor | None = None


class Geometry(abc.ABC):
    """`argmin_W ⟨G, W⟩ + (1/2τ)‖W − W_k‖²` in the norm that suits a block.

    Attributes:
        needs_gram: whether the running Gram matrix of the inputs is kept.
        follows: whether `follow` takes in samples in place of gradients.
        widest: largest side of the matrices that are kept.
        counted: part of the decrease promised to first order that is taken for real.
    """

    needs_gram = False
    follows = False
    widest = 1024
    counted = 1.0

    def shapes(
        self, inputs: int, outputs: int, samples: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """`{name: shape}` of the state for a kernel of that shape; it starts at 0.

        Args:
            inputs: rows of the kernel as a matrix.
            outputs: its columns.
            samples: whether `follow` may be called.
        """
        return {}

    def follow(
        self, state: State, sample: Sample, gram: Tensor, signal: Tensor, due: Due
    ) -> Parts[Displacement]:
        """Where to move with a batch taken in by its inputs and displacements.

        A generator: what is computed anew now and then it yields as `Anew`.

        Args:
            state: values of the variables that `shapes` names.
            sample: the batch.
            gram: running second moment of the centred inputs, as tiles.
            signal: part of the squared gradient that is no noise of its batch.
            due: what is computed anew.
        """
        raise NotImplementedError

    @abc.abstractmethod
    def displace(self, state: State, step: Step, gram: Tensor | None) -> Displacement:
        """Where to move the kernel and the bias.

        Args:
            state: values of the variables that `shapes` names.
            step: gradients, inputs and rate.
            gram: running second moment of the centred inputs, as tiles.
        """

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this geometry again."""
        return arguments_of(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Geometry:
        """The inverse of `get_config`."""
        return cls(**config)
