"""The implicit stochastic gradient method, the framework's step of the weights."""

from collections.abc import Sequence
from typing import Any, final

import keras
from keras import ops

from keras_lifted import penalties
from keras_lifted.arguments import arguments_of
from keras_lifted.backend import gradient, while_loop
from keras_lifted.checks import check_between
from keras_lifted.layers.precision import lifted_real, real_dtype
from keras_lifted.lifting.affine import find_affine, grams
from keras_lifted.lifting.energy import energy
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.block_coordinate_descent import BlockCoordinateDescent
from keras_lifted.optimizers.settings import check_rate
from keras_lifted.optimizers.weight_blocks import WeightBlock, weight_blocks
from keras_lifted.updates.base import Solution

Tensor = Any

# The most trials of a step, and by how much the curvature grows at least from one to
# the next.
TRIALS, GROWTH = 30, 2.0
INFINITY = float("inf")


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ISGM(BlockCoordinateDescent):
    """The implicit stochastic gradient method: an implicit step of every weight block.

    Given the lifted variables `X` of a batch, every block takes

        W_{k+1} = argmin_W ⟨G, W − W_k⟩ + (h/2)‖A (W − W_k)‖² + (1/2τ)‖W − W_k‖²,

    `G` the gradient of the energy `E(W, X)`, `A` the layer's inputs (with a 1 for the
    bias) and `h` the curvature of loss and penalty in `z = A W`. This majorises
    `argmin_W E(W, X) + ‖W − W_k‖²/2τ`: `h` is measured along a first step, and grows
    until the gradient does not turn against the step. So the energy of a convex block
    never rises, whatever `τ`, the reduction and the scale of the loss are. Variables
    that are not kernels of Dense, EinsumDense or convolution layers count as their own
    inputs.

    It is the reference method of the framework, short and exact; in every step it
    solves a linear system as large as the number of each layer's inputs.
    `SteepestDescent` trains faster.

    Args:
        learning_rate: float or schedule. `τ`. Defaults to 0.1.
        geometry: str. The norm of the step: "frobenius", or "covariance" for
            `‖A (W − W_k)‖²` over the number of rows. Defaults to "frobenius".
        momentum: float. That of the steps, in [0, 1); only without it they never rise.
            Defaults to 0.0.
        penalty: penalty, its name or config. None for `Bregman(10.0)`. Defaults to
            None.
        lifted_update: update, its name or config. None for `Sweep()`. Defaults to None.
        curvature_refresh: int. As for `BlockCoordinateDescent`. Defaults to 50.
        name: str. The name of the optimizer. Defaults to "isgm".

    Raises:
        ValueError: If an argument is unknown or out of range, or the penalty is
            contrastive, or, in training, the model has a stack.

    Source: Wang et al., arXiv 2510.09796, section 4; Toulis & Airoldi, "Asymptotic and
    finite-sample properties of estimators based on stochastic gradients", Ann. Stat.
    45(4), 2017.

    Example:

    >>> import keras_lifted as kl
    >>> optimizer = kl.optimizers.ISGM(learning_rate=1.0)
    >>> float(optimizer.learning_rate)
    1.0
    """

    def __init__(
        self,
        learning_rate: Any = 0.1,
        geometry: str = "frobenius",
        momentum: float = 0.0,
        penalty: Any = None,
        lifted_update: Any = None,
        curvature_refresh: int = 50,
        name: str = "isgm",
    ) -> None:
        if geometry not in ("frobenius", "covariance"):
            raise ValueError(
                "`geometry` of ISGM must be 'frobenius' or 'covariance'. Received: "
                f"geometry={geometry!r}. `SteepestDescent` has others."
            )
        momentum = check_between("momentum", momentum, 0.0, 1.0)
        penalty = penalties.get(penalties.Bregman(10.0) if penalty is None else penalty)
        if penalty.contrastive:
            raise ValueError(
                "ISGM minimises one energy over the weights. The penalty "
                f"{type(penalty).__name__} is a difference of two. Received: "
                f"penalty={type(penalty).__name__}. Use BlockCoordinateDescent."
            )
        super().__init__(
            keras.optimizers.SGD(check_rate(learning_rate), momentum),
            penalty,
            lifted_update,
            curvature_refresh,
            name=name,
        )
        self.geometry = geometry
        self.momentum = momentum

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create the state: the curvature of every variable's block."""
        super().build(variables)
        self._curvatures = self.add_variable(
            (len(variables),), "ones", dtype=real_dtype(), name="block_curvatures"
        )

    def directions(self, problem: LiftedProblem, solution: Solution) -> list[Tensor]:
        """Return `(W_k − W_{k+1})/τ` of all trainable variables."""
        if any(call.chain is not None for call in problem.structure.calls):
            raise ValueError(
                "ISGM moves single layers. Received: a model with a stack of blocks. "
                "Use SteepestDescent, or a model of single layers."
            )
        layers = find_affine(problem.model)
        coordinates, values = solution.last.coordinates, problem.values

        def slopes(weights: Sequence[Tensor]) -> list[Tensor]:
            def function(*weights: Tensor) -> tuple[Tensor, None]:
                return energy(problem, coordinates, weights), None

            found = gradient(function, list(weights))[1]
            return [
                ops.zeros_like(value) if slope is None else slope
                for slope, value in zip(found, weights, strict=True)
            ]

        with grams(layers) as found:
            energy(problem, coordinates, values)
        blocks = weight_blocks(layers, found, problem.trainable)
        rate = lifted_real(self.learning_rate)
        start = slopes(values)
        joint = [block.join(start) for block in blocks]

        def steps(curvatures: Tensor) -> list[Tensor]:
            return [
                block.direction(slope, curvatures[block.place], rate, self.geometry)
                for block, slope in zip(blocks, joint, strict=True)
            ]

        def trial(curvatures: Tensor) -> tuple[Tensor, Tensor]:
            """Return curvatures along steps, and which gradients turned against one."""
            taken = steps(curvatures)
            parts = _parts(blocks, taken, values)
            pairs = zip(values, parts, strict=True)
            ahead = slopes([w - ops.cast(rate * part, w.dtype) for w, part in pairs])
            bends = [ops.zeros((), real_dtype())] * len(values)
            turned = [ops.zeros((), "bool")] * len(values)
            for block, step, slope in zip(blocks, taken, joint, strict=True):
                left = ops.sum(block.join(ahead) * step)
                bend = ops.sum(slope * step) - left
                size = ops.maximum(rate * block.square(step), 1e-30)
                bends[block.place] = ops.maximum(bend, 0.0) / size
                turned[block.place] = ops.logical_not(left >= -1e-6 * ops.abs(bend))
            return ops.stack(bends), ops.stack(turned)

        def again(i: Tensor, used: Tensor, _: Tensor, more: Tensor) -> tuple[Any, ...]:
            bends, turned = trial(used)
            bends = ops.where(bends < INFINITY, bends, GROWTH * used)
            measured = ops.where(ops.equal(i, 0), bends, used)
            new = ops.where(turned, ops.maximum(GROWTH * used, bends), measured)
            return i + 1, new, bends, ops.logical_or(ops.equal(i, 0), ops.any(turned))

        first = ops.convert_to_tensor(self._curvatures)
        begin = (ops.zeros((), "int32"), first, first, ops.ones((), "bool"))
        _, used, bends, _ = while_loop(
            lambda i, used, bends, more: ops.logical_and(more, i < TRIALS), again, begin
        )
        self._curvatures.assign(bends)
        parts = _parts(blocks, steps(used), values)
        return [ops.cast(part, w.dtype) for w, part in zip(values, parts, strict=True)]

    def get_config(self) -> dict[str, Any]:
        rate = self.weight_optimizer.get_config()["learning_rate"]
        arguments = {**arguments_of(self), "learning_rate": rate}
        config: dict[str, Any] = keras.saving.serialize_keras_object(arguments)
        return config


def _parts(
    blocks: Sequence[WeightBlock], steps: Sequence[Tensor], values: Sequence[Tensor]
) -> list[Tensor]:
    """Return the steps of all variables, each of the shape of its value."""
    parts: dict[int, Tensor] = {}
    for block, step in zip(blocks, steps, strict=True):
        parts |= block.split(step)
    return [ops.reshape(parts[i], value.shape) for i, value in enumerate(values)]
