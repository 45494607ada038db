"""Steps in the running covariance of a block's inputs."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.backend import cond
from keras_lifted.checks import check_between
from keras_lifted.checks import check_count
from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import State
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.lockstep import finite_or
from keras_lifted.geometries.newton_schulz import inverse
from keras_lifted.geometries.newton_schulz import mean_eigenvalue
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.norms import rms
from keras_lifted.geometries.tiles import Tiles

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Covariance(Geometry):
    """`ΔW ∝ (A + damping·I)⁻¹ G`, `A` the running covariance of the inputs.

    The minimiser of the block's quadratic majoriser, in the norm
    `tr(ΔWᵀ A ΔW)`, which is the mean square of the change of the
    pre-activations: their root mean square changes by the part `τ`.

    Cost: one product with the gradient a step; 23 products of the side of a
    tile at each refresh; memory `2 n·min(n, widest)`.

    Args:
        damping: added to the covariance, relative to its mean eigenvalue;
            about 0.01 suits regression, 0.1 classification.
        widest: above this side the covariance becomes block-diagonal.

    Raises:
        ValueError: if an argument is out of range.

    Source: Toulis & Airoldi, "Asymptotic and finite-sample properties of
    estimators based on stochastic gradients", Ann. Stat. 45(4), 2017; Wang et
    al., arXiv 2510.09796, section 4.

    Example:

    >>> import keras_lifted as kl
    >>> kl.geometries.Covariance(damping=0.1).damping
    0.1
    """

    needs_gram = True

    def __init__(self, damping: float = 0.03, widest: int = 1024) -> None:
        self.damping = check_between("damping", damping, 1e-6, 1e6)
        self.widest = check_count("widest", widest)

    def shapes(
        self, inputs: int, outputs: int, samples: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """See `Geometry.shapes`."""
        return {"inverse": Tiles(inputs, self.widest).shape}

    def displace(self, state: State, step: Step, gram: Tensor | None) -> Displacement:
        """See `Geometry.displace`."""
        tiles = Tiles(step.kernel.shape[0], self.widest)
        known = state["inverse"]
        factor = cond(
            step.due.factors,
            lambda: finite_or(known, inverse(gram, self.damping)),
            lambda: known,
        )
        size = ops.max(ops.abs(step.gradient)) + TINY
        kernel = tiles.apply(factor, step.gradient / size)
        # the inverse is of A over its mean eigenvalue, and so is the bias's share
        scale = mean_eigenvalue(gram)
        bias = None if step.bias is None else scale * step.bias / size
        moved = ops.matmul(step.rows, kernel)
        if bias is not None:
            moved = moved + bias
        length = step.rate * step.reference / (rms(moved) + TINY)
        return Displacement(step.joined(kernel, bias), length, {"inverse": factor})
