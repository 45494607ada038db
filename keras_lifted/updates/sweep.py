"""Sweeps: one pass of full coordinate steps, at backprop's cost."""

from typing import Any, final

import keras

from keras_lifted.checks import check_between, check_count
from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.stacked import Rounds
from keras_lifted.updates.base import LiftedUpdate, Solution

Tensor = Any


@keras.saving.register_keras_serializable(package="keras_lifted")
class Sweep(LiftedUpdate):
    """One full step per lifted variable, from the output to the input.

    It sets `x_l = σ(z_l − q_l/w_l)`: reverse-mode differentiation in which the proximal
    difference `w (σ(z) − σ(z − q/w))` stands for `σ'(z) q`. It takes one call of the
    model and one backward pass on any graph, and tends to backpropagation as `w → ∞`,
    without loss of digits. Its default weight is 1e7, or more where the data ask for
    it: the least with `mean|q| ≤ 1e-6 w · mean|z|` in the batch, whatever the units of
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
    default_weight = 1e7
    largest_weight = float("inf")

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        """See `LiftedUpdate.solve`; `curvature` is not read."""
        forward = problem.sweep(full_step, with_weights=True)
        return Solution.of(problem, forward, forward)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class AllAtOnce(Sweep):
    """A sweep in rounds, each over all blocks of every stack at once.

    A round evaluates all blocks together, in batched operations, at what the round
    before left: `forward` rounds `x_l ← σ(z_l)` from `x = 0`, then `backward` rounds
    `x_l ← σ(z_l − q_l/w)`, until one changes all `z_l`, or all their derivatives, by at
    most `tolerance`. With as many rounds as blocks this is the `Sweep`; with fewer the
    forward pass, and so the loss that training reports, and the weight gradients are
    approximate. With skips around the blocks (`residual=True`) the error of k rounds
    falls like `Lᵏ/k!`, L the sum of the Lipschitz constants of the branches, which
    training raises. A stack without skips takes its forward pass block by block, and
    each backward round reaches one block more. Other layers do what they do in the
    `Sweep`.

    Args:
        forward: int. The most rounds of the forward pass of stacks with skips, at least
            1. Defaults to 32.
        backward: int. The most rounds that move the lifted variables, at least 1.
            Defaults to 32.
        tolerance: float. It is relative to the norm of all blocks and samples together;
            None takes all rounds. Defaults to 0.1.

    Raises:
        ValueError: If `forward` or `backward` is not a positive integer, or `tolerance`
            is not a positive number.

    Source: the Jacobi order of Carreira-Perpiñán & Wang, arXiv 1212.5921, with the
    step of `Sweep`.

    Example:

    >>> import keras_lifted as kl
    >>> kl.updates.AllAtOnce(forward=6).get_config()
    {'forward': 6, 'backward': 32, 'tolerance': 0.1}
    """

    def __init__(
        self, forward: int = 32, backward: int = 32, tolerance: float | None = 0.1
    ) -> None:
        self.forward = check_count("forward", forward, "rounds")
        self.backward = check_count("backward", backward, "rounds")
        if tolerance is not None:
            tolerance = check_between("tolerance", tolerance, 1e-9, 1.0)
        self.tolerance = tolerance

    def solve(self, problem: LiftedProblem, curvature: Tensor) -> Solution:
        rounds = Rounds(self.forward, self.backward, self.tolerance)
        swept = problem.sweep(full_step, with_weights=True, rounds=rounds)
        return Solution.of(problem, swept, swept)


def full_step(
    call: Call, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor
) -> tuple[Tensor, Tensor]:
    """Step from the forward pass to the coordinate `s − q`, pulled back by `q`."""
    return s - q, q
