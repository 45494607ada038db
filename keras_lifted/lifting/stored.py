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
    """Carriers of the samples of a batch, and which of them are known.

    Attributes:
        carriers: key of the call -> `(batch, *shape)`.
        seen: whether the sample was visited before, `(batch,)`.
    """

    carriers: Lifted
    seen: Tensor

    def over(self, origin: Lifted) -> Lifted:
        """Return stored carriers of samples that were seen, `origin` of the others."""
        return {
            key: ops.where(
                per_sample(self.seen, fresh),
                self.carriers[key],
                fresh,
            )
            for key, fresh in origin.items()
        }
