"""Polar factors and inverse roots of matrices by matrix products alone.

Newton-Schulz iterations run at the speed of matrix multiplication on every
device, in float32 and batched over leading axes; no factorisation is called.

Source: Higham, "Functions of Matrices", SIAM 2008, chapters 6 and 8; the
coefficients of the first steps are those of Amsel et al., "The Polar Express",
arXiv 2505.16932.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.backend import while_loop

Tensor = Any
Coefficients = tuple[float, float, float]

# The best odd quintics a s + b s³ + c s⁵ in turn for singular values down to
# 1e-3, scaled so that rounding cannot carry a value above 1.
_SAFETY = 1.01
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
# Convergence to the polar factor itself, from values near 1.
_POLISH: Coefficients = (1.875, -1.25, 0.375)
# Few steps to singular values within [0.7, 1.2], where that is good enough.
_ROUGH: Coefficients = (3.4445, -4.7750, 2.0315)
TINY = 1e-30


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
    x = x / (_norm(x) + TINY)
    for _ in range(steps):
        a, b, c = _ROUGH
        gram = ops.matmul(x, ops.swapaxes(x, -1, -2))
        x = a * x + ops.matmul(b * gram + c * ops.matmul(gram, gram), x)
    return x if wide else ops.swapaxes(x, -1, -2)


def inverse_root(matrix: Tensor, damping: Any) -> Tensor:
    """`(A/m + damping·I)^(−1/2)`, m the mean eigenvalue of all `A`.

    Args:
        matrix: `A`, symmetric and positive semidefinite, `(tiles, n, n)`.
        damping: relative to the mean eigenvalue; at least about 1e-4 in float32.
    """
    y, bound = _scaled(matrix, damping)
    identity = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    table = ops.convert_to_tensor([*_EXPRESS, _POLISH], dtype=matrix.dtype)

    def more(i: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return i < len(_EXPRESS) + 1

    def closer(i: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b, c = ops.unstack(table[i], 3)
        product = ops.matmul(z, y)
        factor = b * product + c * ops.matmul(product, product)
        return i + 1, a * y + ops.matmul(y, factor), a * z + ops.matmul(factor, z)

    start = ops.zeros((), "int32"), y, identity + ops.zeros_like(y)
    z = while_loop(more, closer, start)[2]  # a loop compiles faster than its steps
    return 0.5 * (z + ops.swapaxes(z, -1, -2)) / ops.sqrt(bound)


def inverse(matrix: Tensor, damping: Any) -> Tensor:
    """`(A/m + damping·I)⁻¹`, m the mean eigenvalue of `A`; see `inverse_root`."""
    root = inverse_root(matrix, damping)
    return ops.matmul(root, root)


def _scaled(matrix: Tensor, damping: Any) -> tuple[Tensor, Tensor]:
    """`A/m + damping·I` over a bound on its largest eigenvalue, and the bound."""
    size = matrix.shape[-1]
    identity = ops.eye(size, dtype=matrix.dtype)
    mean = ops.mean(ops.trace(matrix, axis1=-2, axis2=-1)) / size
    damped = matrix / (mean + TINY) + damping * identity
    bound = ops.sqrt(_norm(ops.matmul(damped, damped)))
    return damped / bound, bound


def _norm(matrix: Tensor) -> Tensor:
    """Frobenius norm; of any size, as it is taken of the scaled matrix."""
    largest = ops.max(ops.abs(matrix), axis=(-2, -1), keepdims=True) + TINY
    square = ops.sum(ops.square(matrix / largest), axis=(-2, -1), keepdims=True)
    return largest * ops.sqrt(square)
