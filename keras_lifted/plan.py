"""Tells optimizers how many steps a `fit` will take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from typing import final

import keras


@final
class PlanFit(keras.callbacks.Callback):
    """A callback that tells the optimizer the steps of the whole `fit`.

    It calls `plan_fit(steps)` at the start, or `plan_fit(steps, done)` after the first
    epoch where the data do not tell their number. An optimizer without that method is
    left alone. `LiftedModel.fit` does this by itself.

    Example:

    >>> import keras_lifted as kl
    >>> callbacks = [kl.callbacks.PlanFit()]
    """

    def on_train_begin(self, logs: Any = None) -> None:
        """Look for the optimizer's method."""
        self._plan = planner(self.model.optimizer)
        self._begun: tuple[int, int] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Plan the whole `fit`, before its first epoch or where it is resumed."""
        if self._begun is None:
            self._begun = epoch, self._taken()
            if self.params["steps"]:
                self._tell(int(self.params["steps"]), epoch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Plan after the first epoch of steps that were not known."""
        if self._begun is not None and self._begun[0] == epoch:
            if not self.params["steps"]:
                self._tell(self._taken() - self._begun[1], epoch + 1)

    def _tell(self, steps: int, epoch: int) -> None:
        if self._plan is not None:
            self._plan(steps * self.params["epochs"], steps * epoch)

    def _taken(self) -> int:
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))


def planner(optimizer: Any) -> Callable[..., None] | None:
    """Return `plan_fit` of `optimizer` or of what it wraps, if there is one."""
    while optimizer is not None:
        plan = getattr(optimizer, "plan_fit", None)
        if plan is not None:
            return plan  # type: ignore[no-any-return]
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return None
