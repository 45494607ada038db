"""What `invert` returns."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Inversion:
    """Inputs that explain the data, and how well. Each sample stands for itself.

    Attributes:
        x: the inputs, `(batch, …)`.
        objective: fidelity and penalties plus `alpha · R(x)`, `(batch,)`.
        fidelity: `F(y) + F*(z) − ⟨y, z⟩` of the network's last block, `(batch,)`.
        residual: relative residual of the optimality conditions, `(batch,)`.
        data_residual: `‖network(x) − y‖₂`, `(batch,)`, in the unit of y.
        gap: largest penalty `P(x_l, z_l)` of a hidden block, `(batch,)`; 0 where none
            is hidden.
        alpha: factor on the regularizer, `(batch,)`.
        iterations: steps taken.
        converged: whether `residual` reached the tolerance in all samples.
        history: what was found at each check with the final `alpha`: "iteration" and
            "seconds", `(checks,)`, the first with compilation; "objective",
            "residual", "data_residual" and "gap", `(checks, batch)`.
    """

    x: np.ndarray
    objective: np.ndarray
    fidelity: np.ndarray
    residual: np.ndarray
    data_residual: np.ndarray
    gap: np.ndarray
    alpha: np.ndarray
    iterations: int
    converged: bool
    history: dict[str, np.ndarray]
