"""Geometries of the proximal step that a weight block takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import State
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.covariance import Covariance
from keras_lifted.geometries.frobenius import Frobenius
from keras_lifted.geometries.kronecker import Kronecker
from keras_lifted.geometries.spectral import Spectral
from keras_lifted.identifiers import resolve

__all__ = [
    "Covariance",
    "Displacement",
    "Frobenius",
    "Geometry",
    "Kronecker",
    "Spectral",
    "State",
    "Step",
    "get",
]

_NAMES: dict[str, Callable[[], Geometry]] = {
    "covariance": Covariance,
    "frobenius": Frobenius,
    "kronecker": Kronecker,
    "spectral": Spectral,
}


def get(identifier: Any) -> Geometry:
    """A geometry from a geometry, its name or its config.

    Raises:
        ValueError: if the name is unknown.
    """
    return resolve(
        identifier,
        Geometry,
        _NAMES,
        "`geometry` must be 'auto', a keras_lifted geometry, one of the names "
        f"{sorted(_NAMES)}, or a dict of these by layer name",
    )
