"""Steepest descent where the gradients' covariances on both sides are the identity.

For the joint matrix `G` of a kernel and its bias, of `n` rows and `m` columns,

    L ← b L + (1−b) G Gᵀ/‖G‖²        R ← b R + (1−b) GᵀG/‖G‖²
    P = (L/λ + d)^(−1/2)             Q = (R/λ + d)^(−1/2)        λ the mean eigenvalue
    D = polar(P J Q)                 J the momentum

The rows' covariance is the product of one over sites and one over channels, and both
are block diagonal in tiles, in which `polar` is taken too.

Source: Gupta et al., "Shampoo", arXiv 1802.09568, with power −1/2; Jordan et al.,
"Muon", 2024, for the polar factor.
"""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.newton_schulz import TINY, inverse_root, polar

Tensor = Any
State = dict[str, Tensor]

# Added to covariances of mean eigenvalue 1: directions that gradients seldom take
# count as at most 1/sqrt(0.03), six times as large.
DAMPING = 0.03
# Newton-Schulz steps to the polar factor.
STEPS = 2
# Matrices whose side is at least this part of the largest one's are filled up to it.
SIMILAR = 0.7
# Sides up to this count as similar, whatever they are.
SMALL = 32


def init(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the state: of covariances and roots on every side."""
    (many, wide), (others, width) = layout.rows, layout.columns
    sides = {"inputs": (many, wide), "outputs": (others, width)}
    if layout.sites > 1:
        sides["sites"] = 1, layout.sites
    shapes: dict[str, tuple[int, ...]] = {}
    for side, (tiles, size) in sides.items():
        shapes[side] = layout.count, tiles, size, size
        shapes[f"{side}_root"] = layout.count, tiles, size, size
    return shapes


def refresh(
    layouts: Sequence[Layout],
    states: Sequence[State],
    gradients: Sequence[Tensor],
    keep: Tensor,
) -> list[State]:
    """Take gradients into the covariances, and compute all roots again.

    Args:
        layouts: sequence of Layout. Of all groups of kernels.
        states: sequence of dict. Their states.
        gradients: sequence of tensors. Of the layouts' shapes.
        keep: tensor. What the covariances keep of themselves, `()`.
    """
    covariances = {}
    for i, (layout, state, gradient) in enumerate(
        zip(layouts, states, gradients, strict=True)
    ):
        for side, rows in _sides(layout, _of_norm_one(gradient)).items():
            new = ops.matmul(rows, ops.swapaxes(rows, -1, -2))
            covariances[i, side] = keep * state[side] + (1.0 - keep) * new
    centred = [each.shape[1] * each.shape[2] * each for each in covariances.values()]
    roots = in_batches(lambda a: inverse_root(a, DAMPING), centred)
    fresh: list[State] = [{} for _ in layouts]
    for (i, side), root in zip(covariances, roots, strict=True):
        fresh[i][side] = covariances[i, side]
        fresh[i][f"{side}_root"] = root
    return fresh


def direction(layout: Layout, state: State, momentum: Tensor) -> Tensor:
    """Return `polar(P J Q)`, of any length and of the layout's shape."""
    count, sites, height, width = layout.shape
    x = ops.reshape(momentum, (count, sites, *layout.rows, width))
    x = ops.matmul(ops.expand_dims(state["inputs_root"], 1), x)
    if sites > 1:
        x = ops.reshape(x, (count, 1, sites, height * width))
        x = ops.matmul(state["sites_root"], x)
    x = _columns(layout, ops.reshape(x, layout.shape))
    x = polar(ops.matmul(x, state["outputs_root"]), STEPS)
    return ops.reshape(ops.swapaxes(x, 1, 2), layout.shape)


def _sides(layout: Layout, x: Tensor) -> dict[str, Tensor]:
    """Return each side's index as rows, `(count, tiles, width, ...)`."""
    count, sites, height, width = layout.shape
    many, wide = layout.rows
    by_site = ops.reshape(x, (count, sites, many, wide, width))
    by_input = ops.transpose(by_site, (0, 2, 3, 1, 4))
    sides = {
        "inputs": ops.reshape(by_input, (count, many, wide, sites * width)),
        "outputs": ops.swapaxes(_columns(layout, x), -1, -2),
    }
    if sites > 1:
        sides["sites"] = ops.reshape(x, (count, 1, sites, height * width))
    return sides


def _columns(layout: Layout, x: Tensor) -> Tensor:
    """Return tiles of the outputs, `(count, tiles, rows, width)`."""
    count, sites, height, _ = layout.shape
    x = ops.reshape(x, (count, sites * height, *layout.columns))
    return ops.swapaxes(x, 1, 2)


def _of_norm_one(x: Tensor) -> Tensor:
    """Divide every kernel by its norm, whatever its size; zeros stay."""
    x = x / (ops.max(ops.abs(x), axis=(1, 2, 3), keepdims=True) + TINY)
    square = ops.sum(ops.square(x), axis=(1, 2, 3), keepdims=True)
    return x / ops.sqrt(square + TINY)


def in_batches(
    function: Callable[[Tensor], Tensor], matrices: Sequence[Tensor]
) -> list[Tensor]:
    """Return `function` of every matrix, called once for all of similar sizes.

    Args:
        function: callable. From `(batch, n, n)` to `(batch, n, n)`; what it makes of a
            block diagonal matrix is block diagonal.
        matrices: sequence of tensors. Of shapes `(..., n, n)`.
    """
    results: list[Tensor] = [None] * len(matrices)
    left = sorted(range(len(matrices)), key=lambda i: -matrices[i].shape[-1])
    while left:
        side = matrices[left[0]].shape[-1]
        least = 1 if side <= SMALL else SIMILAR * side
        batch = [i for i in left if matrices[i].shape[-1] >= least]
        left = left[len(batch) :]
        filled = [_filled(matrices[i], side) for i in batch]
        done = function(ops.concatenate(filled, axis=0))
        at = 0
        for i, each in zip(batch, filled, strict=True):
            shape, n = matrices[i].shape, matrices[i].shape[-1]
            part = done[at : at + each.shape[0], :n, :n]
            results[i] = ops.reshape(part, shape)
            at += each.shape[0]
    return results


def _filled(matrix: Tensor, side: int) -> Tensor:
    n = matrix.shape[-1]
    matrix = ops.reshape(matrix, (-1, n, n))
    return ops.pad(matrix, ((0, 0), (0, side - n), (0, side - n)))
