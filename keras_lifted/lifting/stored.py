"""Lifted variables of a batch that were kept from an earlier visit."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras import ops

from keras_lifted.layers.gradients import per_sample
from keras_lifted.lifting.swept import Lifted

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Stored:
    """Coordinates of the samples of a batch, and which of them are known.

    Attributes:
        coordinates: key of the call -> `(batch, *shape)`.
        seen: whether the sample was visited before, `(batch,)`.
    """

    coordinates: Lifted
    seen: Tensor

    def over(self, origin: Lifted) -> Lifted:
        """Return stored coordinates of samples that were seen, else `origin`."""
        return {
            key: ops.where(
                per_sample(self.seen, fresh),
                self.coordinates[key],
                fresh,
            )
            for key, fresh in origin.items()
        }
