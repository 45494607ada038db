"""What a pass through the blocks of a model finds."""

from __future__ import annotations

import dataclasses
from typing import Any

Tensor = Any
# key of the call -> tensor
Lifted = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Swept:
    """The result of one sweep.

    Attributes:
        loss: the user's loss at the point the sweep left, unscaled.
        energy: the energy there, if it was asked for; else the loss.
        outputs: what the model returned.
        updates: new values of the model's state.
        z: pre-activations.
        carriers: carriers of the lifted variables that the sweep chose.
        gradients: weight gradients, if they were asked for.
        inputs: rows that entered the `affine` layers, by their index, if the
            weight gradients were asked for.
        owners: index of the block that each of these layers feeds first; none
            for a layer of the output.
        displacements: `δ` of the plain ones among them, in the units of the
            gradients: theirs are `aᵀ δ`, and `rests` if others read the kernel.
        rests: that part of their gradients of kernel and bias, each None if there
            is surely none.
    """

    loss: Tensor
    energy: Tensor
    outputs: Any
    updates: list[tuple[Any, Tensor]]
    z: Lifted
    carriers: Lifted
    gradients: list[Tensor]
    inputs: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    owners: dict[str, int] = dataclasses.field(default_factory=dict)
    displacements: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    rests: dict[str, tuple[Tensor | None, Tensor | None]] = dataclasses.field(
        default_factory=dict
    )
