"""Geometries of the weight step: in which norm a step is the steepest."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_lifted.checks import check_choice
from keras_lifted.geometries import kronecker
from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.newton_schulz import polar

Tensor = Any
State = dict[str, Tensor]

# States keep at most this part of themselves at a refresh.
KEEP = 0.5


def frobenius(layout: Layout, state: State, momentum: Tensor) -> Tensor:
    """Return the steepest direction in the Frobenius norm, the momentum `J` itself.

    Source: You et al., "LARS", arXiv 1708.03888, whose steps are as long as a part of
    the kernel; here as a part of a kernel of equal singular values.
    """
    return momentum


def spectral(layout: Layout, state: State, momentum: Tensor) -> Tensor:
    """Return the steepest direction in the spectral norm, `U Vᵀ` of `J = U Σ Vᵀ`.

    The largest change of the outputs is bounded for every input.

    Source: Jordan et al., "Muon", 2024; Bernstein & Newhouse, arXiv 2409.20325.
    """
    count, sites, height, width = layout.shape
    matrix = ops.reshape(momentum, (count, sites * height, width))
    return ops.reshape(polar(matrix), layout.shape)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Three pure functions; by default there is no state.

    Attributes:
        direction: of a layout, its state and momentum: what is cheap, in every step.
        init: of a layout: the shapes of its state.
        refresh: of all layouts, states and gradients, and of what states keep of
            themselves: the new states. It does what is dear, now and then.
    """

    direction: Callable[[Layout, State, Tensor], Tensor]
    init: Callable[[Layout], dict[str, tuple[int, ...]]] = lambda layout: {}
    refresh: Callable[
        [Sequence[Layout], Sequence[State], Sequence[Tensor], Tensor], Sequence[State]
    ] = lambda layouts, states, gradients, keep: states


NAMES = {
    "frobenius": Geometry(frobenius),
    "kronecker": Geometry(kronecker.direction, kronecker.init, kronecker.refresh),
    "spectral": Geometry(spectral),
}


def get(name: Any) -> Geometry:
    """Return the geometry of that name.

    Raises:
        ValueError: If the name is unknown.
    """
    return NAMES[check_choice("geometry", name, sorted(NAMES))]


def is_due(steps: Tensor, every: int) -> Tensor:
    """Return whether to refresh after so many steps: powers of 2 and multiples."""
    due = ops.equal(steps % every, 0)
    for early in (2**i for i in range(every.bit_length())):
        due = ops.logical_or(due, ops.equal(steps, early))
    return due


def kept(refreshes: Tensor) -> Tensor:
    """Return the part that states keep after so many refreshes: none at first."""
    return ops.minimum(KEEP, refreshes / (refreshes + 1.0))
