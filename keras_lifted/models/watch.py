"""Callbacks that `LiftedModel.fit` adds by itself."""

import threading
import warnings
from collections.abc import Callable
from typing import Any, final

import keras
import numpy as np
from keras import tree


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
        """Look for the method of the optimizer, or of what it wraps."""
        self._begun: tuple[int, int] | None = None
        self._plan: Callable[..., None] | None = None
        optimizer = self.model.optimizer
        while optimizer is not None and self._plan is None:
            self._plan = getattr(optimizer, "plan_fit", None)
            optimizer = getattr(optimizer, "inner_optimizer", None)

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


@final
class NonFiniteLoss(keras.callbacks.Callback):
    """A callback that ends training after an epoch whose loss is not finite."""

    def __init__(self, **data: Any) -> None:
        super().__init__()
        self.data = data

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Stop and warn."""
        loss = (logs or {}).get("loss", 0.0)
        if np.isfinite(loss):
            return
        self.model.stop_training = True
        warnings.warn(
            f"The loss is {float(loss)} after epoch {epoch + 1}, so training ends "
            f"here: {self._reason()}. No weight was updated from a batch in which "
            "something was not finite.",
            stacklevel=2,
        )

    def _reason(self) -> str:
        for name, part in self.data.items():
            for leaf in tree.flatten(part):
                array = isinstance(leaf, np.ndarray) and leaf.ndim > 0
                if array and leaf.dtype.kind == "f":
                    rows = leaf.reshape(len(leaf), -1)
                    bad = int((~np.isfinite(rows).all(axis=1)).sum())
                    if bad:
                        return f"`{name}` is not finite in {bad} of {len(leaf)} samples"
        return (
            "look for NaN or infinite values in the data, a loss outside its domain, "
            "a learning rate that is too large, or (if persistent) an index outside "
            "of the samples"
        )


@final
class FirstStepNote(keras.callbacks.Callback):
    """A callback that prints a line where the first batch takes long."""

    def __init__(self, after: float = 10.0) -> None:
        super().__init__()
        self.async_safe = True  # so that steps do not wait for it
        self._after = after  # seconds
        self._timer: threading.Timer | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin to wait."""
        if self.params.get("verbose"):
            self._timer = threading.Timer(self._after, self._say)
            self._timer.daemon = True
            self._timer.start()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Wait no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_train_end(self, logs: Any = None) -> None:
        """Wait no longer."""
        self.on_train_batch_end(0)

    def _say(self) -> None:
        print(
            f"The first step is being compiled, for {self._after:g} seconds so far. "
            "Later steps do not compile."
        )
