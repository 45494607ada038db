"""The sweep: one pass of full coordinate steps, at backprop's cost."""

from __future__ import annotations

from typing import Any
from typing import final

import keras

from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.scope import Call
from keras_lifted.updates.base import LiftedUpdate
from keras_lifted.updates.base import Solution

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Sweep(LiftedUpdate):
    """One full step per lifted variable, from the output to the input.

    It sets `x_l = σ(z_l − q_l/w_l)`: reverse-mode differentiation in which the proximal
    difference `w (σ(z) − σ(z − q/w))` stands for `σ'(z) q`. It takes one call of the
    model and one backward pass on any graph, and tends to backpropagation as `w → ∞`,
    without loss of digits. Its default weight is 1e6, or more where the data ask for
    it: the least with `mean|q| ≤ 1e-5 w · mean|z|` in the batch, whatever the units of
    loss and inputs. `optimizer.lifted.weight` holds the last.

    Source: Wang & Benning, JMLR 24(232), 2023, section 4, in one pass.

    Example:

    >>> import keras_lifted as kl
    >>> kl.updates.Sweep().get_config()
    {}
    """

    needs_curvature = False
    starts_anywhere = False  # full steps are not bounded by the curvature
    chooses_weight = True
    default_weight = 1e6
    largest_weight = float("inf")

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """See `LiftedUpdate.solve`; `curvature` is not read."""
        forward = problem.sweep(full_step, with_weights=True)
        return Solution.of(problem, forward, forward)


def full_step(
    call: Call, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    """Step from the forward pass to the coordinate `s − q`, pulled back by `q`."""
    return s - q, q
