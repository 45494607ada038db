"""How far `fit` will go, told to the optimizer."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.models.persistence import build_optimizer
from keras_lifted.optimizers import lifted_part


@final
class Horizon(keras.callbacks.Callback):
    """Tells the lifted optimizer how many steps `fit` will take."""

    def __init__(self) -> None:
        super().__init__()
        self._taken: int | None = None  # steps before the last epoch

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        model = self.model
        build_optimizer(model)
        optimizer = lifted_part(model.optimizer)
        if optimizer is None or not optimizer.built:
            return
        taken = int(ops.convert_to_numpy(optimizer.iterations))
        counted = None if self._taken is None else taken - self._taken
        counted = counted and counted * (optimizer.gradient_accumulation_steps or 1)
        self._taken = taken
        steps = self.params["steps"] or counted
        optimizer.plan(epoch, self.params["epochs"], steps)
