"""Steepest descent in the Frobenius norm: the momentum itself, of unit length.

    D = J / ‖J‖

It keeps no state.

Source: You et al., "LARS", arXiv 1708.03888, whose steps are as long as a part of the
kernel; here as a part of a kernel of equal singular values.
"""

from __future__ import annotations

from typing import Any

from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.stateless import init
from keras_lifted.geometries.stateless import refresh

__all__ = ["direction", "init", "refresh"]

Tensor = Any
State = dict[str, Tensor]


def direction(layout: Layout, state: State, momentum: Tensor) -> Tensor:
    """Return the momentum."""
    return momentum
