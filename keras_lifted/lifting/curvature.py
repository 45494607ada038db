"""Curvature of the energy in each lifted variable, by power iteration.

`L_l = λ_max(Σ_c w_c J_clᵀ J_cl + ∇²ℓ)`, `J_cl` the derivative of child c's
pre-activation in the lifted variable l. The blocks of a stack count as one, with one
lifted variable. A proximal gradient step of length
`w_l / L_l` cannot increase the energy, as activations are 1-Lipschitz.
"""

from typing import Any

import keras
from keras import ops

from keras_lifted.backend import gradient, while_loop
from keras_lifted.layers.gradients import per_sample, sum_per_sample
from keras_lifted.layers.precision import lifted_real, real_dtype
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.scope import Call
from keras_lifted.lifting.stacked import Passed, point_of_stack, recording
from keras_lifted.lifting.swept import Lifted

Tensor = Any

# Power iteration approaches the curvature from below.
SAFETY = 1.2


def curvature(problem: LiftedProblem, iterations: int = 20, rows: int = 8) -> Tensor:
    """Return upper estimates of `L_l` per unit sample weight, `(blocks,)`.

    All lifted variables are probed in one call of the model: row r of a batch of at
    least `rows` samples perturbs only the lifted variable of call `r mod calls`. The
    power iterations begin at a fixed random start.
    """
    calls = problem.structure.calls
    rows = len(calls) * max(1, -(-rows // max(1, len(calls))))
    batch = problem.batch.rows(rows)
    row_scale = batch.scale
    passed: Passed = {}
    problem.run(recording(passed), problem.values, batch)
    point, start = {}, {}
    for i, call in enumerate(calls):
        x = point[call.key] = ops.stop_gradient(lifted_real(passed[call.key][1]))
        noise = keras.random.normal(ops.shape(x), dtype=x.dtype, seed=i + 1)
        turn = ops.arange(ops.shape(x)[0], dtype="int32") % len(calls)
        start[call.key] = noise * per_sample(lifted_real(turn == i), x)

    def slope(x: Lifted) -> Lifted:
        def function(free: Lifted) -> tuple[Tensor, None]:
            squares: list[Tensor] = []

            def answer(call: Call, z: Tensor) -> Tensor:
                if call.key not in free:
                    return call.function(z)
                if call.chain is None:
                    x = ops.cast(free[call.key], z.dtype)
                else:
                    z, x = point_of_stack(call, z, free[call.key])
                weight = problem.weights[call.index]
                squares.append(0.5 * weight * ops.sum(ops.square(lifted_real(z))))
                return x

            loss, _, _ = problem.run(answer, problem.values, batch)
            return loss / ops.max(row_scale) + sum(squares), None

        slopes: Lifted = gradient(function, [x])[1][0]
        return slopes

    base = slope(point)

    def iterate(k: Tensor, direction: Lifted, _: Tensor) -> tuple[Any, ...]:
        unit, _ = _normalise(direction)
        moved = slope({key: point[key] + unit[key] for key in point})
        change = {
            key: (moved[key] - base[key]) * lifted_real(start[key] != 0)
            for key in point
        }
        return k + 1, change, _normalise(change)[1]

    begin = (ops.zeros((), "int32"), start, ops.ones((rows,), real_dtype()))
    _, _, norms = while_loop(lambda k, *_: k < iterations, iterate, begin)
    largest = ops.max(ops.reshape(norms, (-1, len(calls))), axis=0)
    bounds = [ops.zeros((), real_dtype())] * len(problem.blocks)
    for i, call in enumerate(calls):
        bounds[call.index] = ops.maximum(bounds[call.index], SAFETY * largest[i])
    return ops.stack(bounds)


def _normalise(direction: Lifted) -> tuple[Lifted, Tensor]:
    """Scale each row to length 1, over all lifted variables together."""
    total: Any = 0.0
    for value in direction.values():
        total = total + sum_per_sample(ops.square(value))
    norm = ops.sqrt(ops.maximum(total, 1e-30))
    return {k: v / per_sample(norm, v) for k, v in direction.items()}, norm
