"""Steepest descent in the spectral norm: the polar factor of the momentum.

    D = U Vᵀ    of    J = U Σ Vᵀ

The largest change of the outputs is bounded for every input. It keeps no state.

Source: Jordan et al., "Muon", 2024; Bernstein & Newhouse, arXiv 2409.20325.
"""

from typing import Any

from keras import ops

from keras_lifted.geometries.frobenius import init, refresh
from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.newton_schulz import polar

__all__ = ["direction", "init", "refresh"]

Tensor = Any
State = dict[str, Tensor]


def direction(layout: Layout, state: State, momentum: Tensor) -> Tensor:
    """Return `U Vᵀ`, of the layout's shape."""
    count, sites, height, width = layout.shape
    matrix = ops.reshape(momentum, (count, sites * height, width))
    return ops.reshape(polar(matrix), layout.shape)
