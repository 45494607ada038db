"""Penalties that tie lifted variables to their blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_lifted.penalties.base import Penalty
from keras_lifted.penalties.bregman import Bregman
from keras_lifted.penalties.contrastive import Contrastive
from keras_lifted.penalties.fenchel import Fenchel
from keras_lifted.penalties.quadratic import Quadratic

__all__ = ["Bregman", "Contrastive", "Fenchel", "Penalty", "Quadratic", "get"]

_NAMES: dict[str, Callable[[], Penalty]] = {
    "bregman": Bregman,
    "quadratic": Quadratic,
    "mac": Quadratic,
    "fenchel": Fenchel,
    "contrastive": Contrastive,
}


def get(identifier: Any) -> Penalty:
    """A penalty from a penalty, its name or its config.

    Raises:
        ValueError: if the name is unknown.
    """
    if isinstance(identifier, Penalty):
        return identifier
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
        return get(identifier)
    if isinstance(identifier, str) and identifier.lower() in _NAMES:
        return _NAMES[identifier.lower()]()
    raise ValueError(
        "`penalty` must be a keras_lifted penalty or one of the names "
        f"{sorted(_NAMES)}. Received: {identifier!r}"
    )
