"""Keras's Muon for the kernels of a stack."""

from __future__ import annotations

from typing import Any

import keras


class BlockMuon(keras.optimizers.Muon):
    """Keras's Muon, and each block of a kernel `(depth, n, m)` as a matrix of its own.

    Keras's serves such a kernel by AdamW. The steps are those that it takes for a
    Dense layer in the place of each block, at the cost of one batched product.
    """

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) != 3 and super()._should_use_adamw(variable)

    def lr_adjust(self, x: Any) -> Any:
        """Keras's, of the last two axes."""
        if self.rms_rate is None:
            return x
        return x * max(x.shape[-2:]) ** 0.5 * self.rms_rate
