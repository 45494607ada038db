"""Inner products with a matrix of which only a sketch is kept.

For random signs `Ω`, `⟨MΩ, WΩ⟩/32` is `⟨M, W⟩` on average; it is close where the
eigenvalues of `MᵀW` have one sign, as those of a gradient and a step down do.

Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix",
Commun. Stat. Simul. Comput. 18, 1989.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_lifted.geometries.norms import inner

Tensor = Any

# Columns of a sketch.
WIDTH = 32


def sketch(matrix: Tensor) -> Tensor:
    """`MΩ`, `(n, 32)`, of `(n, m)`; the same signs for every matrix of m columns."""
    columns = matrix.shape[1]
    signs = np.random.default_rng(columns).choice([-1.0, 1.0], (columns, WIDTH))
    return ops.matmul(matrix, ops.convert_to_tensor(signs, matrix.dtype))


def inner_with(sketched: Tensor, matrix: Tensor) -> Tensor:
    """About `⟨M, W⟩`, `()`, from the sketch of `M` and `W`."""
    return inner(sketched, sketch(matrix)) / WIDTH
