"""Steps in the running covariances of a block's inputs and of its gradient."""

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
from keras_lifted.geometries.base import Sample
from keras_lifted.geometries.base import State
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.newton_schulz import inverse_root
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.norms import frobenius
from keras_lifted.geometries.spectral import widening
from keras_lifted.geometries.tiles import Tiles

Tensor = Any

# Damping of the gradient's covariance where none is given.
RIGHT = 0.1
# Damping of the inputs' covariance where noise is as strong as the signal, and
# its range.
EQUAL, LEAST, MOST = 0.3, 1e-3, 1.0


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Kronecker(Geometry):
    """`ΔW = τ A^(−1/2) G D^(−1/2)`, `A` and `D` running covariances.

    `A` is the covariance of the block's inputs, `D` that of the whitened
    gradient `A^(−1/2) G` over the columns, which is the covariance of the
    lifted displacements. The step has singular values of root mean square
    `τ √max(1, m/n)`: as in the spectral geometry, all directions move alike,
    but the roots serve many steps and average over many batches.

    Where a batch of B rows gives the gradient as `aᵀ δ`, the step follows it
    factor by factor, `(A^(−1/2) aᵀ)(δ D^(−1/2))`: B(n² + nm + 128m) products in
    place of n² m + 128nm. The first step takes `A` and `D` for identities.

    Cost: these products a step, those and 11 to 23 products of the side of a tile
    at each refresh (see `factor_refresh` of `ISGM`); memory
    `2 n·min(n, widest) + 2 m·min(m, widest_outputs) + nm`.

    Args:
        damping: added to the covariances, relative to their mean eigenvalue.
            "auto" takes 0.1 for `D`, and for `A` between 0.001 and 1 the more,
            the more of the gradient is noise of its batch.
        decay: of the running covariance of the gradient, each time that the
            step is computed from the momentum.
        widest: above this side `A` becomes block-diagonal.
        widest_outputs: above this side `D` does: narrow blocks of it lose little
            and make the step cheap.

    Raises:
        ValueError: if an argument is out of range.

    Source: Gupta, Koren & Singer, "Shampoo", arXiv 1802.09568, with the square
    roots and the alternating statistics of Lin et al., arXiv 2509.03378.

    Example:

    >>> import keras_lifted as kl
    >>> kl.geometries.Kronecker(damping=1e-2).damping
    0.01
    """

    needs_gram = True
    follows = True

    def __init__(
        self,
        damping: Any = "auto",
        decay: float = 0.95,
        widest: int = 1024,
        widest_outputs: int = 128,
    ) -> None:
        if damping != "auto":
            damping = check_between("damping", damping, 1e-6, 1e6)
        self.damping = damping
        self.decay = check_between("decay", decay, 0.0, 1.0)
        self.widest = check_count("widest", widest)
        self.widest_outputs = check_count("widest_outputs", widest_outputs)

    def _tiles(self, inputs: int, outputs: int) -> tuple[Tiles, Tiles]:
        return Tiles(inputs, self.widest), Tiles(outputs, self.widest_outputs)

    def shapes(self, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
        """See `Geometry.shapes`."""
        left, right = self._tiles(inputs, outputs)
        return {
            "left_root": left.shape,
            "right": right.shape,
            "right_root": right.shape,
            "whitened": (inputs + 1, outputs),
            "steps": (),
        }

    def follow(self, state: State, sample: Sample, taken: Tensor) -> State:
        """`A^(−1/2) M D^(−1/2)` with the next batch taken in, factor by factor."""
        outputs, inputs = sample.displacements.shape[1], sample.rows.shape[1]
        left, right = self._tiles(inputs, outputs)
        known = state["whitened"]

        def follow() -> Tensor:
            a = left.apply(state["left_root"], ops.transpose(sample.rows))
            one = ops.ones_like(a[:1]) * float(sample.biased)
            a = ops.concatenate([a, one], axis=0)
            d = right.apply_right(sample.displacements, state["right_root"])
            new = ops.matmul(a, d)
            return sample.keep * known + (1 - sample.keep) * new

        return {"whitened": cond(taken, follow, lambda: known)}

    def displace(self, state: State, step: Step, gram: Tensor | None) -> Displacement:
        """See `Geometry.displace`."""
        inputs, outputs = step.kernel.shape
        left, right = self._tiles(inputs, outputs)
        left_damping = right_damping = self.damping
        if self.damping == "auto":
            left_damping, right_damping = noise_damping(step.signal), RIGHT
        # A cond of its own for each variable: only then is none of them copied.
        left_root = step.refreshed(
            state["left_root"], lambda: _root(gram, left_damping, state["steps"])
        )

        def half() -> Tensor:
            return step.joined(left.apply(left_root, step.gradient), step.bias)

        whitened = cond(step.exact, half, lambda: state["whitened"])
        keep = ops.minimum(self.decay, state["steps"] / (state["steps"] + 1.0))

        def moment() -> Tensor:
            scaled = whitened / (ops.max(ops.abs(whitened)) + TINY)
            new = right.gram(ops.transpose(scaled))
            new = new / (ops.sum(ops.square(scaled)) + TINY)
            return keep * state["right"] + (1.0 - keep) * new

        moments = cond(step.exact, moment, lambda: state["right"])
        right_root = step.refreshed(
            state["right_root"], lambda: _root(moments, right_damping, state["steps"])
        )
        whitened = cond(
            step.exact,
            lambda: right.apply_right(whitened, right_root),
            lambda: whitened,
        )
        new = {
            "left_root": left_root,
            "right": moments,
            "right_root": right_root,
            "whitened": whitened,
            "steps": state["steps"] + ops.cast(step.exact, state["steps"].dtype),
        }
        size = widening(step.kernel) * min(inputs, outputs) ** 0.5
        length = step.rate * size / (frobenius(whitened)[0, 0] + TINY)
        return Displacement(whitened, length, new)


def _root(matrix: Tensor, damping: Any, steps: Tensor) -> Tensor:
    """Inverse root of a moment; identities before it holds anything."""
    identity = ops.eye(matrix.shape[-1], dtype=matrix.dtype) + ops.zeros_like(matrix)
    started = ops.greater(steps, 0.0)
    return cond(started, lambda: inverse_root(matrix, damping), lambda: identity)


def noise_damping(signal: Tensor) -> Tensor:
    """`EQUAL (noise/signal)²`, from the signal's part of the squared gradient.

    Chosen by measurement: regression with a signal of three quarters learns
    fastest with 0.01 and less, classification with one of a quarter with 1.
    """
    signal = ops.clip(signal, 1e-3, 1.0)
    return ops.clip(EQUAL * ops.square(1.0 / signal - 1.0), LEAST, MOST)
