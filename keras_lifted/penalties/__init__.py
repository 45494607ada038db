"""Penalties that tie lifted variables to their blocks."""

from collections.abc import Callable
from typing import Any

from keras_lifted.arguments import deserialize, serialize
from keras_lifted.checks import resolve
from keras_lifted.penalties.base import Penalty
from keras_lifted.penalties.bregman import Bregman
from keras_lifted.penalties.contrastive import Contrastive
from keras_lifted.penalties.fenchel import Fenchel
from keras_lifted.penalties.quadratic import Quadratic

__all__ = [
    "Bregman",
    "Contrastive",
    "Fenchel",
    "Penalty",
    "Quadratic",
    "deserialize",
    "get",
    "serialize",
]

_NAMES: dict[str, Callable[[], Penalty]] = {
    "bregman": Bregman,
    "quadratic": Quadratic,
    "mac": Quadratic,
    "fenchel": Fenchel,
    "contrastive": Contrastive,
}


def get(identifier: Any) -> Penalty:
    """Return the penalty that `identifier` stands for.

    Args:
        identifier: penalty, str or dict. A penalty, its name or its config.

    Raises:
        ValueError: If it stands for none.
    """
    return resolve(
        identifier,
        Penalty,
        _NAMES,
        "`penalty` must be a keras_lifted penalty or one of the names "
        f"{sorted(_NAMES)}",
    )
