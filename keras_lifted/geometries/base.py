"""The interface of every geometry of a weight block's proximal step."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.backend import cond

Tensor = Any
State = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Step:
    """What a geometry reads to choose a direction.

    Attributes:
        gradient: momentum of the kernel's gradient, `(n, m)`; in coordinates
            in which the inputs have zero mean, where the layer has a bias.
        bias: momentum of the bias's gradient, `(m,)`, or None.
        rows: inputs of the last batch, less their running mean, `(rows, n)`.
        reference: root mean square of the block's pre-activations.
        rate: the learning rate.
        curvature: of the block's energy in its pre-activations: the penalty
            weight, and 1 for an output block.
        due: whether factors are refreshed in this step.
    """

    gradient: Tensor
    bias: Tensor | None
    rows: Tensor
    reference: Tensor
    rate: Tensor
    curvature: Tensor
    due: Tensor

    def refreshed(self, known: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """`known`, computed anew where that is due and comes out finite."""

        def anew() -> Tensor:
            value = compute()
            return ops.where(ops.all(ops.isfinite(value)), value, known)

        return cond(self.due, anew, lambda: known)


@dataclasses.dataclass(frozen=True)
class Displacement:
    """What a geometry answers.

    Attributes:
        kernel: to be subtracted from the kernel, `(n, m)`.
        bias: to be subtracted from the bias in the gradient's coordinates,
            `(m,)`, or None.
        state: new values of the geometry's state.
    """

    kernel: Tensor
    bias: Tensor | None
    state: State


class Geometry(abc.ABC):
    """`argmin_W ⟨G, W⟩ + (1/2τ)‖W − W_k‖²` in the norm that suits a block.

    Attributes:
        needs_gram: whether the running Gram matrix of the inputs is kept.
        widest: largest side of the matrices that are kept.
    """

    needs_gram = False
    widest = 1024

    def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """`{name: shape}` of the state for a kernel of that shape; it starts at 0."""
        return {}

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
