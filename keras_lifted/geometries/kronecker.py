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
from keras_lifted.geometries.factors import Factors
from keras_lifted.geometries.lockstep import Anew
from keras_lifted.geometries.lockstep import Parts
from keras_lifted.geometries.lockstep import finite_or
from keras_lifted.geometries.momentum import blend
from keras_lifted.geometries.newton_schulz import flattened
from keras_lifted.geometries.newton_schulz import flattening
from keras_lifted.geometries.norms import TINY
from keras_lifted.geometries.norms import frobenius
from keras_lifted.geometries.refresh import Due
from keras_lifted.geometries.sketch import WIDTH
from keras_lifted.geometries.sketch import inner_with
from keras_lifted.geometries.sketch import sketch
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
    """`ΔW = τ A^(−1/2) G D^(−1/2) F`, `A` and `D` running covariances.

    `A` is the covariance of the block's inputs, `D` that of the whitened
    gradient `A^(−1/2) G` over the columns, which is the covariance of the
    lifted displacements. The roots serve many steps and average over many batches.
    `F` makes of the rest about its polar factor: all directions of the mean gradient
    of today move alike. It is found on the smaller side s of the kernel, by two
    Newton-Schulz steps, whenever moments are (see `moment_refresh` of `ISGM`), and
    left out where s is larger than `widest_polar`. The step has singular values of
    root mean square `τ ω`, `ω` that of `Spectral`.

    Where a batch of B rows gives the gradient as `aᵀ δ`, the step follows it
    factor by factor, `(A^(−1/2) aᵀ)(δ D^(−1/2))`, where that is cheaper: B(n² + nm +
    128m) products in place of n² m + 128nm. The first step takes `A` and `D` for
    identities. From 256 inputs on, `A^(−1/2)` is a multiple of the identity but for
    n/8 directions where that whitens about as well: n²/2 for each n² above, on CPUs.

    Cost: these products a step and `snm` for F, those and 12 to 24 products of the
    side of a tile at each refresh (see `factor_refresh` of `ISGM`) that finds a root
    no longer whiten, or two with low rank; memory
    `3 n·min(n, widest) + 3 m·min(m, widest_outputs) + nm + 32 n`, for other layers
    `2 n·min(n, widest) + 2 m·min(m, widest_outputs)`, a quarter of
    `n·min(n, widest)` for low rank, and `s²` for F.

    Args:
        damping: added to the covariances, relative to their mean eigenvalue.
            "auto" takes 0.1 for `D`, and for `A` between 0.001 and 1 the more,
            the more of the gradient is noise of its batch.
        decay: of the running covariance of the gradient, each time that it takes
            the momentum in.
        widest: above this side `A` becomes block-diagonal.
        widest_outputs: above this side `D` does: narrow blocks of it lose little
            and make the step cheap.
        widest_polar: above this smaller side of a kernel there is no F; 1 for
            none at all. On a CPU it costs more than it gains there.

    Raises:
        ValueError: if an argument is out of range.

    Source: Gupta, Koren & Singer, "Shampoo", arXiv 1802.09568, with the square
    roots and the alternating statistics of Lin et al., arXiv 2509.03378; the polar
    factor as in Jordan et al., "Muon", 2024.

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
        widest_polar: int = 256,
    ) -> None:
        if damping != "auto":
            damping = check_between("damping", damping, 1e-6, 1e6)
        self.damping = damping
        self.decay = check_between("decay", decay, 0.0, 1.0)
        self.widest = check_count("widest", widest)
        self.widest_outputs = check_count("widest_outputs", widest_outputs)
        self.widest_polar = check_count("widest_polar", widest_polar)

    def _factors(self, inputs: int, outputs: int) -> Factors:
        return Factors(Tiles(inputs, self.widest), Tiles(outputs, self.widest_outputs))

    def shapes(
        self, inputs: int, outputs: int, samples: bool = True
    ) -> dict[str, tuple[int, ...]]:
        """See `Geometry.shapes`."""
        factors = self._factors(inputs, outputs)
        followed = {"whitened": (inputs + 1, outputs), "sketch": (inputs + 1, WIDTH)}
        rest = {"right": factors.right.shape, "steps": ()}
        if (side := min(inputs + 1, outputs)) <= self.widest_polar:
            rest["flat"] = (side, side)
        return {**factors.shapes(samples), **(followed if samples else {}), **rest}

    def follow(
        self, state: State, sample: Sample, gram: Tensor, signal: Tensor, due: Due
    ) -> Parts[Displacement]:
        """See `Geometry.follow`."""
        (count, inputs), outputs = sample.rows.shape, sample.displacements.shape[1]
        factors = self._factors(inputs, outputs)
        left, right = factors.left, factors.right

        known = {**factors.of(state, True), "whitened": state["whitened"]}
        new = yield Anew(
            due.factors,
            lambda: self._renewed(factors, known, state, gram, signal, sample.rows),
            known,
        )
        one = ops.ones_like(sample.rows[:, :1]) * float(sample.biased)
        joint = ops.transpose(ops.concatenate([sample.rows, one], axis=1))
        d = sample.displacements
        if count and count > outputs:
            step = factors.whiten(new, ops.matmul(joint, d))
        else:
            a = factors.whiten_left(new, joint)
            if count and count * (inputs + outputs) > inputs * outputs:
                step = right.apply_right(ops.matmul(a, d), new["right_root"])
            else:
                step = ops.matmul(a, right.apply_right(d, new["right_root"]))
        seen = ops.matmul(joint, sketch(d))
        if sample.rest is not None:
            step = _with_rest(step, sample.rest, factors, new)
            seen = seen + sketch(sample.rest)

        shift = sample.shift[:, None]
        shifts = yield Anew(
            due.moments,
            lambda: left.apply(new["left_root"], shift),
            ops.zeros_like(shift),
        )
        keep = sample.keep
        whitened = blend(_recentred(new["whitened"], shifts), step, keep)
        sketched = blend(_recentred(state["sketch"], shift), seen, keep)
        ahead = blend(whitened, step, keep)

        def moments() -> State:
            half = whitened / (ops.max(ops.abs(whitened)) + TINY)
            half = right.apply_right(half, new["right_back"])
            return {"right": self._averaged(state, half), **_flat(state, ahead)}

        held = {name: state[name] for name in ("right", "flat") if name in state}
        found = yield Anew(due.moments, moments, held)
        if "flat" in found:
            ahead = flattened(ahead, found["flat"])
        promise = inner_with(sketched, ahead)
        kept = {
            **new,
            **found,
            "whitened": whitened,
            "sketch": sketched,
            "steps": state["steps"] + ops.cast(due.moments, state["steps"].dtype),
        }
        return Displacement(ahead, sample.rate * _length(ahead), kept, promise)

    def displace(self, state: State, step: Step, gram: Tensor | None) -> Displacement:
        """See `Geometry.displace`."""
        factors = self._factors(*step.kernel.shape)
        known = factors.of(state, False)
        roots = cond(
            step.due.factors,
            lambda: self._renewed(factors, known, state, gram, step.signal, step.rows),
            lambda: dict(known),
        )
        half = factors.whiten_left(roots, step.joined(step.gradient, step.bias))
        scaled = half / (ops.max(ops.abs(half)) + TINY)
        joint = factors.right.apply_right(half, roots["right_root"])
        moment = self._averaged(state, scaled)
        new = {**state, **roots, "right": moment, "steps": state["steps"] + 1.0}
        if "flat" in state:
            held = {"flat": state["flat"]}
            new |= cond(step.due.moments, lambda: _flat(state, joint), lambda: held)
            joint = flattened(joint, new["flat"])
        return Displacement(joint, step.rate * _length(joint), new)

    def _renewed(
        self,
        factors: Factors,
        held: State,
        state: State,
        gram: Tensor,
        signal: Tensor,
        rows: Tensor,
    ) -> State:
        """See `Factors.renewed`; `rows` are inputs of a batch."""
        damping = (self.damping, self.damping)
        if self.damping == "auto":
            damping = (noise_damping(signal), RIGHT)
        moments, count = (gram, state["right"]), ops.shape(rows)[0]
        return factors.renewed(held, moments, damping, count, state["steps"])

    def _averaged(self, state: State, half: Tensor) -> Tensor:
        """The running `D`, of trace 1, with that of `A^(−1/2) M` taken in."""
        keep = ops.minimum(self.decay, state["steps"] / (state["steps"] + 1.0))
        new = Tiles(half.shape[1], self.widest_outputs).products(half, half)
        new = new / (ops.sum(ops.trace(new, axis1=-2, axis2=-1)) + TINY)
        return keep * state["right"] + (1.0 - keep) * new


def _flat(state: State, joint: Tensor) -> State:
    """What makes the singular values of a joint matrix alike, if the state has it."""
    if "flat" not in state:
        return {}
    return {"flat": finite_or(state["flat"], flattening(joint))}


def _length(joint: Tensor) -> Tensor:
    """That with which `joint` is a step of rate 1, `()`."""
    kernel = joint[:-1]
    size = widening(kernel) * min(kernel.shape) ** 0.5
    return size / (frobenius(joint)[0, 0] + TINY)


def _with_rest(step: Tensor, rest: Tensor, factors: Factors, roots: State) -> Tensor:
    """`step` and that of the part of the gradient that is no `aᵀ δ`."""
    return cond(
        ops.any(ops.not_equal(rest, 0.0)),
        lambda: step + factors.whiten(roots, rest),
        lambda: step,
    )


def _recentred(joint: Tensor, shift: Tensor) -> Tensor:
    """A joint matrix of `Σ (a − mean)ᵀ δ` and `Σ δ` after the mean fell by `shift`."""
    return joint + ops.pad(shift, ((0, 1), (0, 0))) * joint[-1:]


def noise_damping(signal: Tensor) -> Tensor:
    """`EQUAL (noise/signal)²`, from the signal's part of the squared gradient.

    Chosen by measurement: regression with a signal of three quarters learns
    fastest with 0.01 and less, classification with one of a quarter with 1.
    """
    signal = ops.clip(signal, 1e-3, 1.0)
    return ops.clip(EQUAL * ops.square(1.0 / signal - 1.0), LEAST, MOST)
