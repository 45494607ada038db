"""What `invert` returns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


class Flags(np.ndarray):
    """Truth values of samples; true as a whole where all of them are.

    Example:

    >>> flags = Flags.of([True, False])
    >>> bool(flags), bool(flags.any())
    (False, True)
    """

    @classmethod
    def of(cls, values: Any) -> Flags:
        """Return these values, `(batch,)`, as flags."""
        return np.asarray(values, bool).view(cls)

    def __bool__(self) -> bool:
        return bool(np.asarray(self).all())


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Inversion:
    """Inputs that explain the data, and how well they do; each sample by itself.

    Attributes:
        x: array, `(batch, …)`. The inputs.
        solver: str. Which problem was solved: "convex", of one block; "lifted", with
            lifted variables behind the blocks; "nested", the network as it is; or
            "lifted, then nested", where the start has no nested gradient.
        objective: array, `(batch,)`. Fidelity and penalties plus `alpha · R(x)`.
            Constraints after the first, and the domain of `KullbackLeibler`, hold in
            the limit: its terms are those of the nearest point that is allowed.
        fidelity: array, `(batch,)`. `D(z)`, of outputs and data.
        residual: array, `(batch,)`. The relative residual of the optimality conditions.
        certificate: array, `(batch,)`. The duality gap, an upper bound of how far
            `objective` is from its minimum. It is NaN where the problem is not convex,
            the network computes in half precision or the regularizer has no value.
            Where the regularizer bounds no minimiser (a `TotalVariation` or
            `NonNegative` alone), one is supposed within `2 ‖x‖` of x.
        data_residual: array, `(batch,)`. `‖network(x) − y‖₂`, in the unit of y; of the
            differences divided by `noise_std` where that is a map.
        noise_residual: array, `(batch,)`. What the noise alone would leave of it,
            `noise_std √m` for m outputs; NaN without `noise_std`.
        gap: array, `(batch,)`. The largest penalty `P(x_l, z_l)` of a hidden block; 0
            where none is hidden.
        alpha: array, `(batch,)`. The factor on the regularizer.
        path: dict of arrays, `(rounds, batch)`. "alpha" and "data_residual" of every
            inversion that was run until alpha was found, the last included.
        iterations: int. The steps taken, the lifted ones before nested ones included.
        converged: Flags, `(batch,)`. Whether `residual` reached the tolerance at the
            least objective that was seen; true as a whole (`if result.converged`) where
            all are.
        history: dict of arrays. What was found at each check with the final `alpha`:
            "iteration" and "seconds", `(checks,)`, the first with compilation;
            "objective", "fidelity", "residual", "data_residual", "gap" and
            "certificate", `(checks, batch)`.
    """

    x: np.ndarray
    solver: str
    objective: np.ndarray
    fidelity: np.ndarray
    residual: np.ndarray
    certificate: np.ndarray
    data_residual: np.ndarray
    noise_residual: np.ndarray
    gap: np.ndarray
    alpha: np.ndarray
    path: dict[str, np.ndarray]
    iterations: int
    converged: Flags
    history: dict[str, np.ndarray]

    def __repr__(self) -> str:
        """A line: arrays by their shape and range."""
        shown = [
            f"x of shape {self.x.shape}",
            f"solver={self.solver!r}",
            f"converged={int(self.converged.sum())} of {len(self.x)}",
            f"iterations={self.iterations}",
        ]
        for name in ("objective", "certificate", "data_residual", "alpha"):
            low, high = (f"{f(getattr(self, name)):.3g}" for f in (np.min, np.max))
            shown.append(f"{name}={low if low == high else f'{low} to {high}'}")
        return f"Inversion({', '.join(shown)})"
