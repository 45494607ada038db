"""What geometries that keep no state share."""

from __future__ import annotations

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
