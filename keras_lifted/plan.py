"""Tells optimizers how many steps a `fit` will take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import final

import keras


@final
class PlanFit(keras.callbacks.Callback):
    """Calls the optimizer's `plan_fit(steps)` with the steps of the whole `fit`.

    At its start, or after the first epoch where the data do not tell how many there
    are; then as `plan_fit(steps, done)`. An optimizer without that method is left
    alone. `LiftedModel.fit` does this by itself.

    Example:

    >>> import keras_lifted as kl
    >>> callbacks = [kl.callbacks.PlanFit()]
    """

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin anew."""
        self._plan = planner(self.model.optimizer)
        self._begun = 0
        self._epochs: int | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Plan, before the first epoch."""
        if self._plan is None or self._epochs is not None:
            return
        self._epochs = max(1, self.params["epochs"] - epoch)
        self._begun = self._taken()
        steps = self.params["steps"]
        if steps is not None:
            self._plan(int(steps) * self._epochs)
            self._plan = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Plan, after the first epoch."""
        if self._plan is not None and self._epochs is not None:
            done = self._taken() - self._begun
            self._plan(done * self._epochs, done)
            self._plan = None

    def _taken(self) -> int:
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))


def planner(optimizer: Any) -> Callable[..., None] | None:
    """The method `plan_fit` of `optimizer` or of what it wraps, if there is one."""
    while optimizer is not None:
        plan = getattr(optimizer, "plan_fit", None)
        if plan is not None:
            return plan  # type: ignore[no-any-return]
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return None
