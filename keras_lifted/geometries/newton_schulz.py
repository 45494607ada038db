"""Polar factors and inverse roots of matrices by matrix products alone.

Newton-Schulz iterations run at the speed of matrix multiplication on every device,
in float32 and batched over leading axes; no factorisation is called.

Source: Higham, "Functions of Matrices", SIAM 2008, chapters 6 and 8; Amsel et al.,
"The Polar Express", arXiv 2505.16932, for the coefficients of `inverse_root`;
Jordan et al., "Muon", 2024, for those of `polar`.
"""

from typing import Any

from keras import ops

Tensor = Any

# What keeps a division by the norm of zeros finite.
TINY = 1e-30

# Odd quintics a s + b s^3 + c s^5 that bring singular values to 1 in turn: the best
# ones for values down to 8e-3, scaled by 1.01 against rounding, then Newton's.
_TO_ONE = tuple(
    (a / 1.01, b / 1.01**3, c / 1.01**5)
    for a, b, c in (
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
        (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        (3.3184196573706015, -2.488488024314874, 0.51004894012372),
        (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
        (1.875 * 1.01, -1.25 * 1.01**3, 0.375 * 1.01**5),
    )
)
# Few steps to singular values within [0.7, 1.2], where that is good enough.
_ROUGHLY_TO_ONE = (3.4445, -4.7750, 2.0315)


def polar(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return roughly the polar factor `U Vᵀ` of `X = U Σ Vᵀ`.

    Three steps bring singular values above a tenth of the largest into [0.7, 1.2], five
    those above a hundredth.

    Args:
        matrix: tensor. `X`, of shape `(..., n, m)`.
        steps: int. The number of Newton-Schulz steps. Defaults to 5.
    """
    if matrix.shape[-2] < matrix.shape[-1]:
        return ops.swapaxes(polar(ops.swapaxes(matrix, -1, -2), steps), -1, -2)
    x = matrix / (ops.max(ops.abs(matrix), axis=(-2, -1), keepdims=True) + TINY)
    gram = ops.matmul(ops.swapaxes(x, -1, -2), x)
    scale = frobenius(gram) + TINY
    gram = gram / scale
    identity = ops.eye(gram.shape[-1], dtype=gram.dtype)
    a, b, c = _ROUGHLY_TO_ONE
    factor = a * identity + b * gram + c * ops.matmul(gram, gram)
    for _ in range(steps - 1):
        square = ops.matmul(ops.matmul(factor, gram), factor)
        step = a * identity + b * square + c * ops.matmul(square, square)
        factor = ops.matmul(factor, step)
    return ops.matmul(x, factor / ops.sqrt(scale))


def inverse_root(matrix: Tensor, damping: float) -> Tensor:
    """Return `(A + damping I)^(-1/2)` by a coupled Newton-Schulz iteration.

    Args:
        matrix: tensor. Symmetric positive semidefinite `A` of mean eigenvalue 1 and
            side at most about 512, of shape `(..., n, n)`.
        damping: float. At least about 0.01.
    """
    identity = ops.eye(matrix.shape[-1], dtype=matrix.dtype)
    y = matrix + damping * identity
    bound = ops.sqrt(frobenius(ops.matmul(y, y))) + TINY
    table = ops.convert_to_tensor(_TO_ONE, dtype=matrix.dtype)

    def closer(i: Tensor, both: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        y, z = both
        a, b, c = ops.unstack(ops.take(table, i, axis=0), 3)
        product = ops.matmul(z, y)
        factor = b * product + c * ops.matmul(product, product)
        return a * y + ops.matmul(y, factor), a * z + ops.matmul(factor, z)

    start = y / bound, ops.broadcast_to(identity, ops.shape(y))
    z = ops.fori_loop(0, len(_TO_ONE), closer, start)[1]
    return 0.5 * (z + ops.swapaxes(z, -1, -2)) / ops.sqrt(bound)


def frobenius(matrix: Tensor) -> Tensor:
    """Return the Frobenius norms `(..., 1, 1)` of matrices `(..., n, m)`."""
    return ops.sqrt(ops.sum(ops.square(matrix), axis=(-2, -1), keepdims=True))
