"""The decay of the rate over the steps of one `fit`."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any
FIT = "fit"

# 1 is a straight line, the best of theory; 3/2 stays high a little longer.
POWER = 1.5


class Decay:
    """`f = 1 − p^(3/2)`, `p` the part of the steps that have been taken.

    Chosen by measurement, see the guide: a cosine spends more of the last steps at
    rates too small to matter.

    Source: Defazio et al., "Optimal linear decay learning rate schedules and further
    refinements", arXiv 2310.07831.

    Attributes:
        begin: training step at which it began.
        length: number of steps; 0 for a constant rate.
        end: factor after the last of them: 1 where it was that of a `fit`.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, steps: Any) -> None:
        self.begin = optimizer.add_variable(
            (), initializer="zeros", dtype="float32", name="decay_begin"
        )
        self.length = optimizer.add_variable(
            (), initializer="zeros", dtype="float32", name="decay_length"
        )
        self.end = 1.0 if steps == FIT else 0.0
        if steps not in (FIT, None):
            self.length.assign(float(steps))

    def plan(self, taken: int, epoch: int, epochs: int, steps: int | None) -> None:
        """Spread the decay over `fit`, which has got to the start of `epoch`.

        Args:
            taken: training steps so far.
            epoch: epochs done, counted as `fit` counts them.
            epochs: epochs in all.
            steps: steps of an epoch; None where it is not known yet.
        """
        if steps:
            self.begin.assign(float(taken - epoch * steps))
            self.length.assign(float(epochs * steps))

    def factor(self, taken: Tensor) -> Tensor:
        """`f` in the step after `taken` ones; 1 where nothing is planned."""
        length = ops.convert_to_tensor(self.length)
        passed = ops.cast(taken, length.dtype) - self.begin
        part = ops.clip(passed / ops.maximum(length, 1.0), 0.0, 1.0)
        falling = 1.0 - ops.power(part, POWER)
        factor = ops.where(part < 1.0, falling, self.end * ops.ones_like(falling))
        return ops.where(length > 0, factor, ops.ones_like(falling))


def check_decay(steps: Any) -> Any:
    """`steps`, or a ValueError."""
    whole = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 1
    if steps is None or steps == FIT or whole:
        return steps
    raise ValueError(
        "`decay_steps` must be 'fit' (decay over the steps of each `fit`), a "
        "number of training steps, or None (constant). Received: "
        f"decay_steps={steps!r}"
    )
