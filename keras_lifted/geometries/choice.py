"""Which geometry serves which layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_lifted.geometries import get
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.kronecker import Kronecker

AUTO = "auto"


def as_choice(geometry: Any) -> Any:
    """`geometry` with names and configs resolved: a geometry, "auto", or a dict.

    Raises:
        ValueError: if a name is unknown.
    """
    if isinstance(geometry, Mapping) and "class_name" not in geometry:
        return {str(k): as_choice(v) for k, v in geometry.items()}
    if isinstance(geometry, str) and geometry.lower() == AUTO:
        return AUTO
    return get(geometry)


def geometry_of(name: str, choice: Any) -> Geometry:
    """The geometry of the layer `name`: its own, the default, or "auto"'s."""
    if isinstance(choice, dict):
        choice = choice.get(name, choice.get("default", AUTO))
    return Kronecker() if choice == AUTO else get(choice)
