"""The blocks of a stack in a sweep: one after the other, or all at once.

One after the other, from the forward pass, they do what the same blocks do as
single layers. All at once, every round evaluates all blocks together, at the
lifted variables of the round before:

* forward rounds `x_l ← σ(z_l)`, whose fixed point is the forward pass;
* backward rounds in which every block moves by its `q_l`, taken from the
  displacements of the round before; their fixed point is the sweep.

Both fixed points are reached after `depth` rounds. With skips around the blocks
much fewer come close: `u_l = u_0 + Σ_{k≤l} x_k`, so the input reaches every block,
and the output's error every lifted variable, in the first round.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import while_loop
from keras_lifted.layers.chain import Chain, batch_first, depth_first
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real, real_dtype
from keras_lifted.lifting.rule import Move, Scale, parameter_gradient
from keras_lifted.lifting.scope import Answer, Call
from keras_lifted.penalties.base import Penalty

Tensor = Any
# All blocks after a sweep: the derivative in the input of the stack; the new
# coordinates and displacements, depth first; the derivatives in the weights.
Moved = tuple[Tensor, Tensor, Tensor, tuple[Tensor, ...]]
# key of the call -> pre-activation and output, batch first
Passed = dict[str, tuple[Tensor, Tensor]]


@dataclasses.dataclass(frozen=True)
class Rounds:
    """In how many rounds the blocks of a stack are evaluated all at once.

    The forward rounds begin at the given lifted variables, or else at zero in a stack
    with skips; 0 is for none from given ones, and for the exact forward pass otherwise.
    """

    forward: int = 0
    backward: int = 1  # those that move the lifted variables
    tolerance: float | None = None  # relative change that ends them; None: all rounds


@dataclasses.dataclass(frozen=True)
class Start:
    """All blocks where a sweep begins, depth first, `(depth, batch, ..., units)`."""

    before: Tensor  # what each block reads
    z: Tensor
    s: Tensor
    forward: bool  # are these where a forward pass left them?


@dataclasses.dataclass(frozen=True)
class StackPass:
    """One call of a stack in a sweep; `rounds` is None for one block at a time."""

    call: Call
    penalty: Penalty
    move: Move
    scale: Scale
    rounds: Rounds | None

    def begin(self, u: Tensor, coordinates: Tensor | None) -> Start:
        """Return where a sweep begins, not differentiated."""
        chain, u = _chain(self.call), ops.stop_gradient(u)
        activation = self.call.activation
        fixed = tuple(ops.stop_gradient(each) for each in activation.parameters())
        sigma = ProximalMap(activation, fixed)
        count = 0 if self.rounds is None else self.rounds.forward
        if coordinates is not None:
            s = depth_first(ops.stop_gradient(coordinates))
            before = chain.before(u, ops.cast(self.penalty.point(sigma, s), u.dtype))
        elif count and chain.residual:
            s = None
            before = ops.repeat(ops.expand_dims(u, 0), chain.depth, axis=0)
        else:
            before, z = chain.run_kept(u, sigma)
            z = lifted_real(z)
            return Start(before, z, self.penalty.origin(sigma, z), True)
        z, left = chain.pre_activations(before)
        further = count - 1 if s is None else count
        if self.rounds is not None and further:

            def again(z: Tensor) -> Tensor:
                return chain.pre_activations(chain.before(u, sigma(z)))[0]

            z = repeated(again, z, further - 1, self.rounds.tolerance)
            before = chain.before(u, sigma(z))
            z, left = chain.pre_activations(before)
        chain.keep(left)
        z = lifted_real(z)
        if count:
            s = self.penalty.origin(sigma, z)
        return Start(before, z, s, count > 0)

    def output(self, u: Tensor, current: tuple[Tensor, Tensor], start: Start) -> Tensor:
        """Return the output, and move all blocks in its backward rule, as `moved`."""
        activation, penalty = self.call.activation, self.penalty
        whole = self.call.chain
        assert whole is not None
        count = len(whole.weights)

        def lifted(u: Tensor, *arguments: Tensor) -> Any:
            old, number, before, z, s, *parameters = arguments[count:]
            chain = whole.at(arguments[:count])
            sigma = ProximalMap(activation, tuple(parameters))

            def backward(*upstream: Tensor) -> tuple[Tensor, ...]:
                q = lifted_real(upstream[0])
                at = Start(before, z, s, start.forward)
                scale = self.scale.chosen(q, z[-1])
                weight = scale.like(q)
                order = self._in_turn if self.rounds is None else self._at_once
                q, new, displacement, slopes = order(chain, sigma, q, at, weight)
                z_and_d = batch_first(z), batch_first(displacement)
                return (
                    ops.cast(q, u.dtype),
                    *slopes,
                    batch_first(new),
                    scale.weight,
                    *(ops.zeros_like(each) for each in (before, z, s)),
                    *parameter_gradient(penalty, sigma, *z_and_d, weight),
                )

            x = ops.cast(penalty.point(sigma, s), u.dtype)
            return chain.output(u, x), backward

        return ops.custom_gradient(lifted)(
            u,
            *whole.weights,
            *current,
            *(ops.stop_gradient(each) for each in (start.before, start.z, start.s)),
            *activation.parameters(),
        )

    def _in_turn(
        self, chain: Chain, sigma: ProximalMap, q: Tensor, at: Start, weight: Tensor
    ) -> Moved:
        def rule(z: Tensor, s: Tensor, q: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
            new, displacement, delta = self._moved(sigma, s, z, q, weight)
            return delta, (new, displacement)

        start, dtypes = (at.before, at.z, at.s), (real_dtype(),) * 2
        q, (new, displacement), slopes = chain.sweep(q, start, rule, dtypes)
        return q, new, displacement, slopes

    def _at_once(
        self, chain: Chain, sigma: ProximalMap, q: Tensor, at: Start, weight: Tensor
    ) -> Moved:
        assert self.rounds is not None
        delta, further = None, self.rounds.backward - 1
        pull = chain.pull_back(at.before)
        none = ops.zeros_like(at.before, dtype=q.dtype)

        def moved(delta: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
            back = none if delta is None else pull(delta)[0]
            behind = chain.behind(q, back)[1]
            return self._moved(sigma, at.s, at.z, behind, weight)

        if not at.forward:
            displacement = self.penalty.origin(sigma, at.z) - at.s
            delta = weight * self.penalty.z_gradient(sigma, at.z, displacement)
        elif further:
            delta, further = moved(None)[2], further - 1
        tolerance = self.rounds.tolerance
        delta = repeated(lambda each: moved(each)[2], delta, further, tolerance)
        new, displacement, delta = moved(delta)
        back, slopes = pull(delta)
        return chain.behind(q, back)[0], new, displacement, slopes

    def _moved(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        new, displacement = self.move(self.call, sigma, s, z, q / weight)
        delta = weight * self.penalty.z_gradient(sigma, z, displacement)
        return new, displacement, delta


def recording(found: Passed) -> Answer:
    """Return the answer of a forward pass, which puts `(z, x)` of calls into `found`.

    Those of a stack are of all its blocks.
    """

    def answer(call: Call, z: Tensor) -> Tensor:
        if call.chain is None:
            x = call.function(z)
            found[call.key] = z, x
            return x
        sigma, chain = ProximalMap.of(call.activation), _chain(call)
        _, inner = chain.run_kept(z, sigma)
        real = batch_first(lifted_real(inner))
        found[call.key] = real, sigma(real)
        return chain.output(z, sigma(inner))

    return answer


def point_of_stack(call: Call, u: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return all `z`, depth first, and the output of a stack at `x`, batch first."""
    chain = _chain(call)
    x = ops.cast(depth_first(x), u.dtype)
    return chain.pre_activations(chain.before(u, x))[0], chain.output(u, x)


def _chain(call: Call) -> Chain:
    """Return the weights of a stack, nothing in them differentiated."""
    chain = call.chain
    assert chain is not None
    return chain.at(tuple(ops.stop_gradient(each) for each in chain.weights))


def repeated(
    step: Callable[[Tensor], Tensor], start: Tensor, most: int, tolerance: float | None
) -> Tensor:
    """Return `start` after `most` steps, fewer once one changes it by `tolerance`.

    That is relative to the norm of all of it; None for all steps.
    """
    if tolerance is None:
        for _ in range(most):
            start = step(start)
        return start
    if most < 1:
        return start

    def more(i: Tensor, change: Tensor, value: Tensor) -> Tensor:
        return ops.logical_and(i < most, change > tolerance)

    def body(i: Tensor, change: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        new = step(value)
        moved = ops.sum(ops.square(lifted_real(new) - lifted_real(value)))
        size = ops.maximum(ops.sum(ops.square(lifted_real(new))), 1e-30)
        return i + 1, ops.sqrt(moved / size), new

    unknown = ops.full((), float("inf"), lifted_real(start).dtype)
    _, _, value = while_loop(more, body, (ops.zeros((), "int32"), unknown, start))
    return value
