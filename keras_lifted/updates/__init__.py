"""Updates of the lifted variables."""

from collections.abc import Callable
from typing import Any

from keras_lifted.arguments import deserialize, serialize
from keras_lifted.checks import resolve
from keras_lifted.updates.base import LiftedUpdate, Solution
from keras_lifted.updates.steps import Mirror, ProximalGradient
from keras_lifted.updates.sweep import AllAtOnce, Sweep

__all__ = [
    "AllAtOnce",
    "LiftedUpdate",
    "Mirror",
    "ProximalGradient",
    "Solution",
    "Sweep",
    "deserialize",
    "get",
    "serialize",
]

_NAMES: dict[str, Callable[[], LiftedUpdate]] = {
    "sweep": Sweep,
    "proximal_gradient": ProximalGradient,
    "mirror": Mirror,
    "all_at_once": AllAtOnce,
}


def get(identifier: Any) -> LiftedUpdate:
    """Return the update that `identifier` stands for.

    Args:
        identifier: update, str, dict or None. An update, its name or its config; None
            for `Sweep()`.

    Raises:
        ValueError: If it stands for none.
    """
    if identifier is None:
        return Sweep()
    return resolve(
        identifier,
        LiftedUpdate,
        _NAMES,
        "`lifted_update` must be a keras_lifted update or one of the names "
        f"{sorted(_NAMES)}",
    )
