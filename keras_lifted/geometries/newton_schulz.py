"""Polar factors and inverse roots of matrices by matrix products alone.

Newton-Schulz iterations run at the speed of matrix multiplication on every
device, in float32 and batched over leading axes; no factorisation is called.

Source: Higham, "Functions of Matrices", SIAM 2008, chapters 6 and 8; the
coefficients of the first steps are those of Amsel et al., "The Polar Express",
arXiv 2505.16932.
"""

from __future__ import annotations

import itertools
from typing import Any

from keras import ops

from keras_lifted.backend import while_loop
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.norms import frobenius

Tensor = Any
Coefficients = tuple[float, float, float]

# The best odd quintics a s + b s³ + c s⁵ in turn for singular values down to
# 1e-3, scaled so that rounding cannot carry a value above 1.
_SAFETY = 1.01


def _quintic(s: float, coefficients: Coefficients) -> float:
    a, b, c = coefficients
    return a * s + b * s**3 + c * s**5


_EXPRESS: tuple[Coefficients, ...] = tuple(
    (a / _SAFETY, b / _SAFETY**3, c / _SAFETY**5)
    for a, b, c in (
        (8.28721201814563, -23.595886519098837, 17.300387312530933),
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
        (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        (3.3184196573706015, -2.488488024314874, 0.51004894012372),
        (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    )
)
# Singular values above these may skip so many of them: the least value that each
# step makes of 1e-3, so that the rest of the steps is the best for those above.
_REACHED = tuple(itertools.accumulate(_EXPRESS[:3], _quintic, initial=1e-3))[1:]
# Convergence to the polar factor itself, from values near 1.
_POLISH: Coefficients = (1.875, -1.25, 0.375)
# Few steps to singular values within [0.7, 1.2], where that is good enough.
_ROUGH: Coefficients = (3.4445, -4.7750, 2.0315)


def polar(matrix: Tensor, steps: int = 5) -> Tensor:
    """The polar factor `U Vᵀ` of `U Σ Vᵀ`, roughly.

    Five steps bring singular values above about a hundredth of the Frobenius
    norm into [0.7, 1.2]; smaller ones stay smaller.

    Args:
        matrix: `(..., n, m)`.
        steps: Newton-Schulz steps, each of three matrix products.
    """
    wide = matrix.shape[-2] <= matrix.shape[-1]
    x = matrix if wide else ops.swapaxes(matrix, -1, -2)
    x = x / (frobenius(x) + TINY)
    for _ in range(steps):
        a, b, c = _ROUGH
        gram = ops.matmul(x, ops.swapaxes(x, -1, -2))
        x = a * x + ops.matmul(b * gram + c * ops.matmul(gram, gram), x)
    return x if wide else ops.swapaxes(x, -1, -2)


def flattening(matrix: Tensor, steps: int = 2) -> Tensor:
    """`F` for which `XF` is about a multiple of `UVᵀ`, the polar factor of `X = UΣVᵀ`.

    `FX` where X has no more rows than columns. As in `polar`, but found from the Gram
    matrix alone, so that `F` may serve matrices near X too. Two steps make singular
    values down to about a third of their root mean square alike, if none is far above
    it; smaller ones stay as much smaller.

    Args:
        matrix: X, `(n, m)`.
        steps: Newton-Schulz steps, at least one.

    Returns:
        `(s, s)`, s the smaller of n and m.
    """
    matrix = matrix / (ops.max(ops.abs(matrix)) + TINY)
    turned = ops.transpose(matrix)
    wide = matrix.shape[0] <= matrix.shape[1]
    gram = ops.matmul(matrix, turned) if wide else ops.matmul(turned, matrix)
    gram = gram / (frobenius(gram) + TINY)
    identity = ops.eye(gram.shape[0], dtype=gram.dtype)
    a, b, c = _ROUGH

    def factor(gram: Tensor) -> Tensor:
        return a * identity + b * gram + c * ops.matmul(gram, gram)

    product = factor(gram)
    for _ in range(steps - 1):
        gram_so_far = ops.matmul(ops.matmul(product, gram), product)
        product = ops.matmul(product, factor(gram_so_far))
    return product


def flattened(matrix: Tensor, flattening: Tensor) -> Tensor:
    """`FX` or `XF`, see `flattening`."""
    if matrix.shape[0] <= matrix.shape[1]:
        return ops.matmul(flattening, matrix)
    return ops.matmul(matrix, flattening)


def inverse_root(matrix: Tensor, damping: Any) -> Tensor:
    """`(A/m + damping·I)^(−1/2)`, m the mean eigenvalue of all `A`.

    Takes 3 to 7 steps, the fewer, the larger the damping is beside the largest
    eigenvalue: of four products each, the first one of two.

    Args:
        matrix: `A`, symmetric and positive semidefinite, `(tiles, n, n)`.
        damping: relative to the mean eigenvalue; at least about 1e-4 in float32.
    """
    y, bound = _scaled(matrix, damping)
    identity = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    table = ops.convert_to_tensor([*_EXPRESS, _POLISH], dtype=matrix.dtype)
    least = ops.sqrt(damping / ops.max(bound))
    skipped = ops.sum(ops.cast(least > ops.convert_to_tensor(_REACHED), "int32"))

    def more(i: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return i < len(_EXPRESS) + 1

    def closer(i: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, c = ops.unstack(ops.take(table, i, axis=0), 3)
        product = ops.matmul(z, y)
        factor = b * product + c * ops.matmul(product, product)
        return i + 1, a * y + ops.matmul(y, factor), a * z + ops.matmul(factor, z)

    a, b, c = ops.unstack(ops.take(table, skipped, axis=0), 3)
    factor = b * y + c * ops.matmul(y, y)  # as `closer` does from z = I
    start = skipped + 1, a * y + ops.matmul(y, factor), a * identity + factor
    z = while_loop(more, closer, start)[2]  # a loop compiles faster than its steps
    return 0.5 * (z + ops.swapaxes(z, -1, -2)) / ops.sqrt(bound)


def inverse(matrix: Tensor, damping: Any) -> Tensor:
    """`(A/m + damping·I)⁻¹`, m the mean eigenvalue of `A`; see `inverse_root`."""
    root = inverse_root(matrix, damping)
    return ops.matmul(root, root)


def damped(matrix: Tensor, damping: Any) -> Tensor:
    """`A/m + damping·I`, m the mean eigenvalue of all `A`."""
    identity = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    return matrix / (mean_eigenvalue(matrix) + TINY) + damping * identity


def mean_eigenvalue(matrix: Tensor) -> Tensor:
    """Mean eigenvalue of all symmetric `A`, `()`, of `(tiles, n, n)`."""
    return ops.mean(ops.trace(matrix, axis1=-2, axis2=-1)) / matrix.shape[-1]


def _scaled(matrix: Tensor, damping: Any) -> tuple[Tensor, Tensor]:
    """`A/m + damping·I` over a bound on its largest eigenvalue, and the bound."""
    matrix = damped(matrix, damping)
    bound = ops.sqrt(frobenius(ops.matmul(matrix, matrix)))
    return matrix / bound, bound
