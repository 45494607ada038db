"""Stops a training run whose loss is no longer a number."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any
from typing import final

import keras
import numpy as np


@final
class NonFiniteLoss(keras.callbacks.Callback):
    """Raises at the end of an epoch whose loss is NaN or infinite."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            raise ValueError(
                f"The loss is {loss} after epoch {epoch + 1}. Expected a finite "
                "number: look for NaN or infinite values in the data, a loss "
                "outside its domain, or a learning rate that is too large. No "
                "weight was updated from a batch whose loss was not finite."
            )


def with_watch(fit: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """`fit(*args, **kwargs)` with `NonFiniteLoss` among its callbacks."""
    bound = inspect.signature(fit).bind(*args, **kwargs)
    callbacks = bound.arguments.get("callbacks")
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks.append(NonFiniteLoss())
    else:
        given = [] if callbacks is None else callbacks
        listed = list(given) if isinstance(given, (list, tuple)) else [given]
        bound.arguments["callbacks"] = [*listed, NonFiniteLoss()]
    return fit(*bound.args, **bound.kwargs)
