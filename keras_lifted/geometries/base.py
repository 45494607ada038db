"""The interface of every geometry of a weight block's proximal step."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.backend import cond

Tensor = Any
State = dict[str, keras.Variable]
# add(name, shape) -> a new optimizer variable of zeros
Add = Callable[[str, tuple[int, ...]], keras.Variable]


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
            weight, or for an output block an estimate of the loss's.
        due: whether factors are refreshed in this step.
    """

    gradient: Tensor
    bias: Tensor | None
    rows: Tensor
    reference: Tensor
    rate: Tensor
    curvature: Tensor
    due: Tensor

    def refreshed(
        self, variable: keras.Variable, compute: Callable[[], Tensor]
    ) -> Tensor:
        """`variable`, computed anew where that is due and comes out finite."""

        def anew() -> Tensor:
            value = compute()
            good = ops.all(ops.isfinite(value))
            return ops.where(good, value, ops.convert_to_tensor(variable))

        kept = cond(self.due, anew, lambda: ops.convert_to_tensor(variable))
        variable.assign(kept)
        return kept


class Geometry(abc.ABC):
    """`argmin_W ⟨G, W⟩ + (1/2τ)‖W − W_k‖²` in the norm that suits a block.

    Attributes:
        needs_gram: whether the running Gram matrix of the inputs is kept.
        widest: largest side of the matrices that are kept.
    """

    needs_gram = False
    widest = 1024

    def build(self, add: Add, inputs: int, outputs: int) -> State:
        """Create the state for a kernel of shape `(inputs, outputs)`."""
        return {}

    @abc.abstractmethod
    def displace(
        self, state: State, step: Step, gram: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """What to subtract from kernel and bias, as matrices like the gradients.

        Args:
            state: from `build`.
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
