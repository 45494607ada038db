"""Updates of the lifted variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_lifted.updates.base import LiftedUpdate
from keras_lifted.updates.base import Solution
from keras_lifted.updates.mirror import Mirror
from keras_lifted.updates.proximal_gradient import ProximalGradient
from keras_lifted.updates.sweep import Sweep

__all__ = [
    "LiftedUpdate",
    "Mirror",
    "ProximalGradient",
    "Solution",
    "Sweep",
    "get",
]

_NAMES: dict[str, Callable[[], LiftedUpdate]] = {
    "sweep": Sweep,
    "proximal_gradient": ProximalGradient,
    "mirror": Mirror,
}


def get(identifier: Any) -> LiftedUpdate:
    """An update from an update, its name, its config, or None (Sweep).

    Raises:
        ValueError: if the name is unknown.
    """
    if identifier is None:
        return Sweep()
    if isinstance(identifier, LiftedUpdate):
        return identifier
    if isinstance(identifier, dict):
        return get(keras.saving.deserialize_keras_object(identifier))
    if isinstance(identifier, str) and identifier.lower() in _NAMES:
        return _NAMES[identifier.lower()]()
    raise ValueError(
        "`lifted_update` must be a keras_lifted update or one of the names "
        f"{sorted(_NAMES)}. Received: {identifier!r}"
    )
