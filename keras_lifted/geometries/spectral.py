"""Steepest descent in the spectral norm: the polar factor of the momentum.

    D = U Vᵀ    of    J = U Σ Vᵀ

The largest change of the outputs is bounded for every input. It keeps no state.

Source: Jordan et al., "Muon", 2024; Bernstein & Newhouse, arXiv 2409.20325.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.newton_schulz import polar

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
    """Return `U Vᵀ`, of the layout's shape."""
    count, sites, height, width = layout.shape
    matrix = ops.reshape(momentum, (count, sites * height, width))
    return ops.reshape(polar(matrix), layout.shape)
