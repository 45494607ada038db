"""Steps in the spectral norm."""

from __future__ import annotations

from typing import Any
from typing import final

import keras

from keras_lifted.checks import check_count
from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import State
from keras_lifted.geometries.base import Step
from keras_lifted.geometries.newton_schulz import polar

Tensor = Any

# The most inputs for each output that a step takes into account.
TALLEST = 6.0


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Spectral(Geometry):
    """`ΔW = τ ω U Vᵀ`, the polar factor of the gradient `U Σ Vᵀ`.

    The step of steepest descent in the spectral norm: it bounds the change of
    the pre-activation for every input. With `n` inputs and `m` outputs `ω` is
    `√(m/n)` if `m > n`, else `√min(n/m, 6)`.

    Cost: three products of the gradient's shorter side in each Newton-Schulz
    step, in every training step; no memory besides the momentum.

    Args:
        iterations: Newton-Schulz steps.

    Raises:
        ValueError: if `iterations` is out of range.

    Source: Jordan et al., "Muon", 2024; Bernstein & Newhouse, arXiv 2409.20325.

    Example:

    >>> import keras_lifted as kl
    >>> kl.geometries.Spectral(iterations=3).iterations
    3
    """

    # All directions move alike, so those of noise promise about as much as the rest.
    counted = 0.5

    def __init__(self, iterations: int = 5) -> None:
        self.iterations = check_count("iterations", iterations)

    def displace(self, state: State, step: Step, gram: Tensor | None) -> Displacement:
        """See `Geometry.displace`."""
        gradient = step.joined(step.gradient, step.bias)
        length = step.rate * widening(step.kernel)
        return Displacement(polar(gradient, self.iterations), length, {})


def steepest(gradient: Tensor, iterations: int = 5) -> Tensor:
    """`ω U Vᵀ` of a gradient `U Σ Vᵀ`, `(..., n, m)`."""
    return widening(gradient) * polar(gradient, iterations)


def widening(kernel: Tensor) -> float:
    """`ω = √(m/n)` with more outputs than inputs, else `√min(n/m, 6)`.

    With more outputs than inputs they change as much as these. With more inputs a step
    has few singular values, each of which moves a part only of what the inputs span:
    without the factor first layers lag behind those after them. A longer one does
    harm where the outputs are few because no more are needed.
    """
    *_, n, m = kernel.shape
    return float((m / n if m > n else min(n / m, TALLEST)) ** 0.5)
