"""The inverse problem of a network: its energy, and sweeps through its blocks.

    E(u, X) = D(z_L) + Σ_l w_l P_l(x_l, z_l),   z_1 a function of the input u

for every sample by itself. Hidden outputs `x_l` are lifted variables, as in training.
The fidelity D is the penalty `P_L(y, z_L)` of the last block, or another distance of
the outputs from y, for which the output is lifted too. Where no activation is hidden,
E is the fidelity alone, convex if `z_L` is affine in u.
"""

from types import SimpleNamespace
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from keras_lifted.backend import pullback
from keras_lifted.inversion.fidelity import Bregman, Data, Fidelity, LeastSquares
from keras_lifted.inversion.network import Sourced
from keras_lifted.inversion.primal_dual import Term
from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real, real_dtype
from keras_lifted.lifting import rule
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import find_blocks
from keras_lifted.lifting.curvature import curvature
from keras_lifted.lifting.scope import Answer, Call, LiftingScope
from keras_lifted.lifting.stacked import Passed, recording
from keras_lifted.lifting.structure import find_structure
from keras_lifted.lifting.swept import Lifted
from keras_lifted.penalties.base import Penalty

Tensor = Any

# Longer steps than this many times a block's own curvature change nothing.
_LONGEST = 100.0
# How far from affine an affine function is in float32.
_ROUNDING = 1e-3


class InverseProblem:
    """A network with its blocks; data and input are arguments.

    Attributes:
        hidden: the calls of hidden activations, in order of execution.
        fidelity: D; the penalty of the last block where none is given.
        affine: whether `z_L` is affine in u: then E is convex.
        solver: what `Inversion.solver` calls it.
    """

    def __init__(
        self, network: Sourced, u: Tensor, penalty: Penalty, fidelity: Fidelity | None
    ) -> None:
        self.network = network
        self.dtype = network.compute_dtype
        self.penalty = penalty
        found = find_blocks(cast(keras.Model, network))
        self.blocks = [block for block in found if not block.stacked]
        source, *names = (block.name for block in self.blocks)
        penalty.check_names(names)
        kept = {name for name in names if penalty.weight_of(name) == float("inf")}

        def run(answer: Answer, u: Tensor) -> tuple[Tensor, Tensor]:
            outputs = self._call(answer, u)
            # A product ends the last block, so that its activation is hidden.
            outputs = outputs if fidelity is None else outputs * 1
            return outputs, outputs

        with keras.StatelessScope():
            structure = find_structure(run, u, set())
            self._output = next(iter(structure.final - {source}), None)
            if kept:  # the output is fixed to the data, never differentiated through
                structure = find_structure(run, u, kept - {self._output})
        self.structure = structure
        self.hidden = [call for call in structure.calls if call.key != source]
        self.fidelity = fidelity or self._penalty_of_output()
        self.affine = not self.hidden and self._is_affine(u.shape[1:])
        self.solver = "convex" if self.affine else "lifted" if self.hidden else "nested"
        if not self.fidelity.smooth and not self.affine:
            raise ValueError(
                f"The fidelity {type(self.fidelity).__name__} is not smooth, so it "
                "takes a network whose outputs are affine in its inputs, such as a "
                "blur. Use LeastSquares or Huber for others."
            )

    def _penalty_of_output(self) -> Fidelity:
        if self._output is None:
            return LeastSquares()
        name = self._output.split(":")[0]
        last = next(block for block in self.blocks if block.name == name)
        applied, shown = self.structure.shapes[self._output][1:], self.network.outputs
        if not last.activation.separable and applied != shown:
            raise ValueError(
                f"The last activation, {type(last.activation).__name__}, couples "
                "units, so its axes must be those of the network's outputs. Invert "
                "the network without the layers that reshape them. Received: shape "
                f"{applied} at the activation, {shown} at the output."
            )
        return Bregman(ProximalMap.of(last.activation))

    def _is_affine(self, shape: tuple[int, ...]) -> bool:
        """Return whether `z(a + b) + z(0) = z(a) + z(b)` for noise of two sizes."""

        def z(u: np.ndarray) -> np.ndarray:
            output = self._pre_activation(_unlifted, self._real(u[None]))
            return np.asarray(ops.convert_to_numpy(output), "float64")

        rng = np.random.default_rng(0)
        for size in (0.1, 10.0):
            a, b = size * rng.standard_normal((2, *shape))
            first, second, none = z(a), z(b), z(0 * a)
            error = np.abs(z(a + b) + none - first - second).max()
            scale = np.abs(first - none).max() + np.abs(second - none).max()
            if not error <= _ROUNDING * scale:
                return False
        return True

    def _real(self, value: Any) -> Tensor:
        return ops.cast(value, self.dtype)

    def weight(self, call: Call) -> float:
        """Return the penalty weight of a hidden call."""
        return self.penalty.weight_of(self.blocks[call.index].name)

    def _call(self, answer: Answer, u: Tensor) -> Tensor:
        """Return the network's outputs, a scope of `answer` around every activation."""
        with LiftingScope(self.blocks, answer):
            return self.network(u, training=False)

    def _pre_activation(self, answer: Answer, u: Tensor) -> Tensor:
        """Return `z_L`: the outputs of a network without its last activation."""

        def passing(call: Call, z: Tensor) -> Tensor:
            return z if call.key == self._output else answer(call, z)

        return self._real(self._call(passing, u))

    def outputs(self, u: Tensor) -> Tensor:
        """Return the outputs of the ordinary, nested network."""
        return self._real(self._call(_unlifted, u))

    def origin(self, u: Tensor) -> Lifted:
        """Return the coordinates of the hidden lifted variables at the forward pass."""
        if not self.hidden:
            return {}
        found: Passed = {}
        self._call(recording(found), u)
        return {
            call.key: self.penalty.origin(
                ProximalMap.of(call.activation), self._real(found[call.key][0])
            )
            for call in self.hidden
        }

    def lipschitz(self, u: Tensor) -> tuple[Tensor, Lifted]:
        """Return a Lipschitz constant of ∂E/∂u, and the hidden variables' step lengths.

        By power iteration, with `½‖z_L‖²` for D, whose curvature the data bring along.
        """

        def run(answer: Answer, values: None, batch: Batch) -> tuple[Any, None, None]:
            z = self._pre_activation(answer, batch.x)
            return 0.5 * ops.sum(ops.square(lifted_real(z))), None, None

        weights = [1.0] * len(self.blocks)
        for call in self.hidden:
            weights[call.index] = self.weight(call)
        probe: Any = SimpleNamespace(
            structure=self.structure,
            blocks=self.blocks,
            batch=Batch(lifted_real(u), None, None, ("sum",)),
            values=None,
            weights=ops.convert_to_tensor(weights, dtype=real_dtype()),
            run=run,
        )
        rows = 1 if self.network.copies == 1 else u.shape[0]
        bounds = self._real(curvature(probe, rows=rows))
        rates = {}
        for call in self.hidden:
            bound = ops.maximum(bounds[call.index], 1e-12)
            rates[call.key] = ops.minimum(weights[call.index] / bound, _LONGEST)
        return bounds[0], rates

    def term(self, data: Data, bound: Tensor) -> Term:
        """Return a fidelity that is not smooth as a term with a proximal map."""
        return Term(
            lambda z: self.fidelity.value(*data, z),
            lambda v, step: self.fidelity.prox(data.y, v, step),
            ops.ones((data.y.shape[0],), self.dtype),
            lambda u: self._pre_activation(_unlifted, u),
            bound,
        )

    def energies(
        self, data: Data, u: Tensor, coordinates: Lifted
    ) -> tuple[Tensor, Lifted]:
        """Return fidelity and hidden penalties (without weights), `(batch,)` each."""
        gaps: Lifted = {}

        def answer(call: Call, z: Tensor) -> Tensor:
            if call.key not in coordinates:
                return call.function(z)
            sigma, s = ProximalMap.of(call.activation), coordinates[call.key]
            gap = self.penalty.value(sigma, s, self._real(z))
            gaps[call.key] = ops.maximum(gap, 0.0)
            return ops.cast(self.penalty.point(sigma, s), z.dtype)

        z = self._pre_activation(answer, u)
        return self.fidelity.value(*data, z), gaps

    def gap(self, data: Data, u: Tensor, share: Tensor) -> Tensor:
        """Return `fidelity.gap` at u of a smooth fidelity, else 0."""
        if not self.fidelity.smooth:
            return ops.zeros_like(share)
        return self.fidelity.gap(*data, self._pre_activation(_unlifted, u), share)

    def sweep(
        self,
        data: Data,
        u: Tensor,
        coordinates: Lifted,
        rates: Lifted,
        hold: bool = False,
    ) -> tuple[Tensor, Lifted]:
        """Return `∂E/∂u`, after a proximal step of every hidden variable.

        In one pass back from output to input every block moves its lifted variable and
        then passes on its gradient; with `hold` that at the old lifted variable.
        """
        if not self.fidelity.smooth:
            return ops.zeros_like(u), coordinates

        def function(u: Tensor, held: Lifted) -> Tensor:
            def answer(call: Call, z: Tensor) -> Tensor:
                if call.key not in held:
                    return call.function(z)
                return self._rule(call, z, held[call.key], rates[call.key], hold)

            return self._pre_activation(answer, u)

        z, pull = pullback(function, [u, coordinates])
        slope, moved = pull(self.fidelity.gradient(*data, z))
        return slope, moved

    def _rule(
        self, call: Call, z: Tensor, held: Tensor, rate: Tensor, hold: bool
    ) -> Tensor:
        """Return `x`, with a backward rule that moves it and passes on its gradient."""

        def move(
            call: Call, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor
        ) -> tuple[Tensor, Tensor]:
            new = self.penalty.proximal(sigma, s, z, q, per_sample(rate, z))
            return new, self.penalty.origin(sigma, z) - (s if hold else new)

        weight = self._real(self.weight(call))
        scale = rule.Scale(ops.ones_like(weight), weight)
        pair = held, weight
        return rule.moved(call, z, pair, move, self.penalty, scale, first=False)


def _unlifted(call: Call, z: Tensor) -> Tensor:
    return call.function(z)
