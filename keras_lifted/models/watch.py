"""Watches for losses that are not finite and data that cannot be trained on."""

from __future__ import annotations

import warnings
from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops
from keras import tree


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
                if (
                    isinstance(leaf, np.ndarray)
                    and leaf.dtype.kind == "f"
                    and leaf.ndim
                ):
                    rows = leaf.reshape(len(leaf), -1)
                    bad = int((~np.isfinite(rows).all(axis=1)).sum())
                    if bad:
                        return f"`{name}` is not finite in {bad} of {len(leaf)} samples"
        return (
            "look for NaN or infinite values in the data, a loss outside its domain, "
            "a learning rate that is too large, or (if persistent) an index outside "
            "of the samples"
        )


def finite_tensors(values: Any) -> Any:
    """Return a structure of arrays as tensors.

    Raises:
        ValueError: If one of them holds NaN or infinite values.
    """
    return tree.map_structure(_finite_tensor, values)


def _finite_tensor(value: Any) -> Any:
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError(
                "The batch must be finite. Received: an array of shape "
                f"{array.shape} with {int((~np.isfinite(array)).sum())} NaN or "
                "infinite values. Clean the data (e.g. numpy.nan_to_num)."
            )
        array = array.astype(keras.config.floatx())
    return ops.convert_to_tensor(array)


def check_rows(**parts: Any) -> None:
    """Raise a ValueError unless all tensors have as many samples as `x`."""
    rows = {
        name: {n for t in tree.flatten(part) if t is not None for n in t.shape[:1]}
        for name, part in parts.items()
    }
    if not rows["x"] or len(set().union(*rows.values())) > 1:
        raise ValueError(
            "A batch needs inputs, and the same number of samples in all its "
            "arrays. Received numbers of samples: "
            f"{ {name: sorted(sizes) for name, sizes in rows.items()} }."
        )
