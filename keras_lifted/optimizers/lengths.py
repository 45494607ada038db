"""How long the steps are."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import replicas
from keras_lifted.geometries.layout import Layout
from keras_lifted.geometries.newton_schulz import TINY

Tensor = Any

# The rate of up to nine kernels. Relative changes of kernels add up along the depth
# where no normalisation undoes them, so more of them take less, down to a fifth.
RATE, SHALLOW, DEEPEST = 0.1, 9, 0.2
# Kernels of more inputs than outputs move by more, at most by the root of this.
TALLEST = 6.0
# What the mean of squared losses keeps of itself in a step.
KEEP = 0.9
# The part of the first step where nothing but its own prediction is known.
FIRST = 0.7
# What is left of the first bound where the loss has become small.
LAST = 0.25


def rate_at(kernels: int) -> float:
    """Return the default rate of so many kernels, `0.9/L` within [0.02, 0.1]."""
    return RATE * min(1.0, max(DEEPEST, SHALLOW / max(kernels, 1)))


def of_unit_rate(layout: Layout, direction: Tensor) -> Tensor:
    """Return the step of rate 1: the mean square of its singular values is `ω²`.

    `ω = √(m/n)` with more outputs m than inputs n, else `√min(n/m, 6)`.
    """
    n, m = layout.sites * layout.inputs, layout.outputs
    size = ((m / n if m > n else min(n / m, TALLEST)) * min(n, m)) ** 0.5
    norm = ops.sqrt(ops.sum(ops.square(direction), axis=(1, 2, 3), keepdims=True))
    return direction * (size / (norm + TINY))


@dataclasses.dataclass(frozen=True)
class DecreaseBound:
    """Two bounds on the predicted decrease `p_t = Σ τ⟨J, D⟩` of a whole step.

        s_t p_t ≤ c ℓ_t (1 + 3 ℓ_t / max_i ℓ_i) / 4      ℓ the size of the loss
        s_t ≤ 0.7 max_i p_i / √(Σ_i p_i²)

    The first is Polyak's step, damped, for a loss whose least value is near zero: by
    `c` at first, by a quarter of it where the loss has become small and decreases are
    mostly noise. It ends with the first loss below zero. The second, AdaGrad's with
    norms, needs no loss: it holds whatever constant is added to it, and for any sign
    and scale. Both are of steps of the largest rate so far, so that a decay of the
    rate shortens the steps whatever the bounds are.

    Attributes:
        loss: Variable. The loss of the last batch; 0 where it was not seen.
        square: Variable. The running mean of squared losses.
        highest: Variable. The largest size of the loss so far.
        lowest: Variable. The lowest loss so far, or 0.
        largest: Variable. The largest prediction so far.
        squares: Variable. The sum of squared predictions.
        rate: Variable. The largest rate so far.

    Source: Polyak, "Minimization of unsmooth functionals", 1969; Ward et al., "AdaGrad
    stepsizes", arXiv 1806.01811.
    """

    loss: keras.Variable
    square: keras.Variable
    highest: keras.Variable
    lowest: keras.Variable
    largest: keras.Variable
    squares: keras.Variable
    rate: keras.Variable

    @classmethod
    def build(cls, add: Callable[[str, tuple[int, ...]], keras.Variable]) -> Any:
        """Create the variables with `add(name, shape)`."""
        names = (field.name for field in dataclasses.fields(cls))
        return cls(*(add(f"decrease_{name}", ()) for name in names))

    def see(self, loss: Tensor) -> None:
        """Take note of the loss of a batch; not of a replica's share of it."""
        if replicas() == 1:
            loss = ops.sum(ops.cast(loss, self.loss.dtype))
            self.loss.assign(ops.stop_gradient(loss))

    def length(
        self, predicted: Tensor, rate: Tensor, most: float
    ) -> tuple[Tensor, list[tuple[keras.Variable, Tensor]]]:
        """Return the length of a step, and the new values of the variables.

        Args:
            predicted: tensor. The decrease by a step of rate 1, `()`.
            rate: tensor. The rate of this step, `()`.
            most: float. `c`, the fraction of the loss that may be predicted at first.
        """
        keep = ops.where(self.square > 0.0, KEEP, 0.0)
        square = keep * self.square + (1.0 - keep) * ops.square(self.loss)
        peak = ops.maximum(self.rate, rate)
        predicted = peak * ops.maximum(predicted, 0.0) + TINY
        largest = ops.maximum(self.largest, predicted)
        squares = self.squares + ops.square(predicted)
        lowest = ops.minimum(self.lowest, self.loss)
        holds = ops.logical_and(square > 0.0, lowest >= 0.0)
        size = ops.sqrt(square)
        highest = ops.maximum(self.highest, size)
        # Infinity, the square of a large loss, counts as a loss that has not fallen.
        left = ops.where(size < highest, size / (highest + TINY), 1.0)
        most = most * (LAST + (1.0 - LAST) * left)
        by_loss = ops.where(holds, most * size / predicted, 1.0)
        by_past = FIRST * largest / ops.sqrt(squares)
        part = ops.minimum(1.0, ops.minimum(by_loss, by_past))
        updates = [
            (self.square, square),
            (self.highest, highest),
            (self.lowest, lowest),
            (self.largest, largest),
            (self.squares, squares),
            (self.rate, peak),
        ]
        return rate * part, updates
