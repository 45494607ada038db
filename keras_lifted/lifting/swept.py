"""Lifted variables by call: what a sweep finds, and what is kept of a batch."""

import dataclasses
from typing import Any

from keras import ops

from keras_lifted.layers.gradients import per_sample
from keras_lifted.lifting.scope import Updates

Tensor = Any
# key of the call -> tensor
Lifted = dict[str, Tensor]


@dataclasses.dataclass(frozen=True)
class Swept:
    """The result of one sweep.

    Attributes:
        loss: the user's loss at the point the sweep left, unscaled; terms whose sum
            counts, if it is not reduced.
        outputs: what the model returned.
        updates: variables that the call assigned, and their values.
        z: pre-activations.
        coordinates: of the lifted variables that the sweep chose.
        gradients: in the weights, if they were asked for.
        weights: penalty weight of each call.
    """

    loss: Tensor
    outputs: Any
    updates: Updates
    z: Lifted
    coordinates: Lifted
    gradients: list[Tensor]
    weights: Lifted = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Stored:
    """Coordinates of a batch from an earlier visit, and which samples have them."""

    coordinates: Lifted
    seen: Tensor

    def over(self, origin: Lifted) -> Lifted:
        """Return stored coordinates of samples that were seen, else `origin`."""
        return {
            key: ops.where(per_sample(self.seen, fresh), self.coordinates[key], fresh)
            for key, fresh in origin.items()
        }
