"""Geometries of the weight step: in which norm a step is the steepest.

Each is a module of three pure functions: `init` returns the shapes of its state for a
`Layout`, `refresh` takes in gradients and does what is dear, now and then, and
`direction` does what is cheap, in every step.
"""

from types import ModuleType
from typing import Any

from keras_lifted.checks import check_choice
from keras_lifted.geometries import frobenius, kronecker, spectral

NAMES: dict[str, ModuleType] = {
    "frobenius": frobenius,
    "kronecker": kronecker,
    "spectral": spectral,
}


def get(name: Any) -> ModuleType:
    """Return the geometry of that name.

    Raises:
        ValueError: If the name is unknown.
    """
    return NAMES[check_choice("geometry", name, sorted(NAMES))]
