"""Says that a first step is being compiled, where that takes long."""

from __future__ import annotations

import threading
from typing import Any
from typing import final

import keras

# Seconds after which a user wonders.
AFTER = 10.0


@final
class FirstStepNote(keras.callbacks.Callback):
    """A callback that prints a line where the first batch takes long."""

    def __init__(self, after: float = AFTER) -> None:
        super().__init__()
        self.async_safe = True  # so that steps do not wait for it
        self._after = after
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
