"""What a pass through the blocks of a model finds."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_lifted.lifting.state import Updates

Tensor = Any
# key of the call -> tensor
Lifted = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Swept:
    """The result of one sweep.

    Attributes:
        loss: the user's loss at the point the sweep left, unscaled; terms whose sum
            counts, if it is not reduced.
        energy: the energy there, if it was asked for; else the loss.
        outputs: what the model returned.
        updates: variables that the call assigned, and their values.
        z: pre-activations.
        coordinates: coordinates of the lifted variables that the sweep chose.
        gradients: weight gradients, if they were asked for.
        weights: penalty weight of each call.
    """

    loss: Tensor
    energy: Tensor
    outputs: Any
    updates: Updates
    z: Lifted
    coordinates: Lifted
    gradients: list[Tensor]
    weights: Lifted = dataclasses.field(default_factory=dict)
