"""Steepest descent in the Frobenius norm: the momentum itself, of unit length.

    D = J / ‖J‖

It keeps no state.

Source: You et al., "LARS", arXiv 1708.03888, whose steps are as long as a part of the
kernel; here as a part of a kernel of equal singular values.
"""

from collections.abc import Sequence
from typing import Any

from keras_lifted.geometries.layout import Layout

Tensor = Any
State = dict[str, Tensor]


def init(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return an empty state."""
    return {}


def refresh(
    layouts: Sequence[Layout],
    states: Sequence[State],
    gradients: Sequence[Tensor],
    keep: Tensor,
) -> list[State]:
    """Return the states."""
    return list(states)


def direction(layout: Layout, state: State, momentum: Tensor) -> Tensor:
    """Return the momentum."""
    return momentum
