"""Regularizers of inverse problems."""

from collections.abc import Callable
from typing import Any

from keras_lifted.arguments import deserialize, serialize
from keras_lifted.checks import resolve
from keras_lifted.regularizers.base import Regularizer, Sum
from keras_lifted.regularizers.denoiser import Denoiser
from keras_lifted.regularizers.norms import (
    L1,
    Box,
    GroupSparsity,
    NonNegative,
    Tikhonov,
)
from keras_lifted.regularizers.total_variation import TotalVariation

__all__ = [
    "Box",
    "Denoiser",
    "GroupSparsity",
    "L1",
    "NonNegative",
    "Regularizer",
    "Sum",
    "Tikhonov",
    "TotalVariation",
    "deserialize",
    "get",
    "serialize",
]

_NAMES: dict[str, Callable[[], Regularizer]] = {
    "box": Box,
    "group_sparsity": GroupSparsity,
    "l1": L1,
    "non_negative": NonNegative,
    "tikhonov": Tikhonov,
    "total_variation": TotalVariation,
}


def get(identifier: Any) -> Regularizer:
    """Return the regularizer that `identifier` stands for.

    Args:
        identifier: regularizer, str or dict. A regularizer, its name or its config.

    Raises:
        ValueError: If it stands for none.

    Example:

    >>> import keras_lifted as kl
    >>> kl.regularizers.get("total_variation").weight
    1.0
    """
    return resolve(
        identifier,
        Regularizer,
        _NAMES,
        "`regularizer` must be one of keras_lifted.regularizers, such as "
        "TotalVariation(1e-2), a sum of them, or one of the names "
        f"{sorted(_NAMES)}",
    )
