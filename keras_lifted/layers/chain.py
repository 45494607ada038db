"""Equal blocks in a row: all that a stack computes, as pure functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import pullback, scan
from keras_lifted.layers.precision import lifted_real

Tensor = Any
Tensors = tuple[Tensor, ...]

# block(u, weights, state) -> (z, what else the block leaves)
BlockFunction = Callable[[Tensor, Tensors, Tensors], tuple[Tensor, Tensors]]
# rule(z, s, q) -> (displacement of z, whatever else is kept of each block)
Rule = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensors]]


@dataclasses.dataclass(frozen=True)
class Chain:
    """`z_l = f(u_{l−1}; θ_l)`, then `u_l = x_l` or `u_l = u_{l−1} + x_l`.

    `x_l` is `σ(z_l)`, or a lifted variable in its place. Tensors of all blocks are
    depth first, `(depth, batch, ...)`: `before` holds `u_0 … u_{D−1}`, `x` and `z`
    those of the blocks.

    Attributes:
        block: `f`, which also returns what it leaves, such as new state.
        blocks: all blocks at once, of tensors and to tensors that are depth first.
        weights: `θ`, each `(depth, ...)`, which are differentiated.
        residual: whether a skip goes around each block.
        state: what else the blocks read, each `(depth, ...)`, not differentiated.
        left: dtypes of what a block leaves.
        keep: takes what all blocks left, depth first, once a pass is made.
    """

    block: BlockFunction
    blocks: BlockFunction
    weights: Tensors
    residual: bool
    state: Tensors = ()
    left: tuple[str, ...] = ()
    keep: Callable[[Tensors], None] = lambda left: None

    @property
    def depth(self) -> int:
        """The number of blocks."""
        return int((*self.weights, *self.state)[0].shape[0])

    def at(self, weights: Tensors) -> Chain:
        """Return the chain with other weights."""
        return dataclasses.replace(self, weights=weights)

    # -- one block after the other -------------------------------------------

    def run(self, u: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
        """Return `u_D` of the ordinary forward pass from `u_0`."""

        def body(u: Tensor, slices: Tensors) -> tuple[Tensor, Tensors]:
            z, left = self.block(u, *self._apart(slices))
            return self._after(u, sigma(z)), left

        u, left = scan(body, u, (*self.weights, *self.state), self.left)
        self.keep(left)
        return u

    def run_kept(
        self, u: Tensor, sigma: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return `before` and `z` of the ordinary forward pass."""

        def body(u: Tensor, slices: Tensors) -> tuple[Tensor, Tensors]:
            z, left = self.block(u, *self._apart(slices))
            return self._after(u, sigma(z)), (u, ops.cast(z, u.dtype), *left)

        dtypes = (u.dtype, u.dtype, *self.left)
        before, z, *left = scan(body, u, (*self.weights, *self.state), dtypes)[1]
        self.keep(tuple(left))
        return before, z

    def sweep(
        self, q: Tensor, start: Tensors, rule: Rule, dtypes: tuple[Any, ...]
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Go from the derivative `q` in `u_D` back to `u_0`, each block by `rule`.

        `start` holds `before`, `z` and the `s` of `rule`; `dtypes` are those of what
        it keeps. Return the derivative in `u_0`, what is kept of all blocks, and the
        derivatives in the weights.
        """

        def body(q: Tensor, slices: Tensors) -> tuple[Tensor, Tensors]:
            u, z, s, *values = slices
            weights, state = self._apart(tuple(values))
            delta, kept = rule(z, s, q)
            pull = _pulled(lambda u, each: self.block(u, each, state)[0], u, weights)
            back, slopes = pull(delta)
            return self._after(q, back), (*kept, *slopes)

        inputs = (*start, *self.weights, *self.state)
        every = (*dtypes, *(each.dtype for each in self.weights))
        q, found = scan(body, q, inputs, every, reverse=True)
        return q, found[: len(dtypes)], found[len(dtypes) :]

    def _after(self, u: Tensor, x: Tensor) -> Tensor:
        x = ops.cast(x, u.dtype)
        return u + x if self.residual else x

    def _apart(self, values: Tensors) -> tuple[Tensors, Tensors]:
        """Return weights and state."""
        return values[: len(self.weights)], values[len(self.weights) :]

    # -- all blocks at once ----------------------------------------------------

    def before(self, u: Tensor, x: Tensor) -> Tensor:
        """Return `u_0 … u_{D−1}` from `u_0` and all `x`: a shift, or prefix sums."""
        terms = ops.concatenate([ops.expand_dims(u, 0), x[:-1]], axis=0)
        return prefix_sums(terms) if self.residual else terms

    def output(self, u: Tensor, x: Tensor) -> Tensor:
        """Return `u_D` from `u_0` and all `x`."""
        return u + ops.sum(x, axis=0) if self.residual else x[-1]

    def pre_activations(self, before: Tensor) -> tuple[Tensor, Tensors]:
        """Return all `z`, by batched operations, and what the blocks leave."""
        z, left = self.blocks(before, self.weights, self.state)
        return ops.cast(z, before.dtype), left

    def pull_back(self, before: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensors]]:
        """Return what takes derivatives in all `z` to `before` and the weights."""

        def every(before: Tensor, weights: Tensors) -> Tensor:
            return self.at(weights).pre_activations(before)[0]

        return _pulled(every, before, self.weights)

    def behind(self, q: Tensor, back: Tensor) -> tuple[Tensor, Tensor]:
        """Return derivatives in `u_0` and in all `x`, from `q`, that in `u_D`.

        `back` are derivatives in `before` by way of all `z`.
        """
        later = ops.concatenate([back[1:], ops.expand_dims(q, 0)], axis=0)
        if not self.residual:
            return back[0], later
        sums = suffix_sums(later)
        return sums[0] + back[0], sums


def _pulled(
    function: Callable[[Tensor, Tensors], Tensor], u: Tensor, weights: Tensors
) -> Callable[[Tensor], tuple[Tensor, Tensors]]:
    """Return what takes derivatives in `function(u, weights)` to its arguments."""
    point = (lifted_real(u), *(lifted_real(each) for each in weights))
    value, pull = pullback(lambda u, *weights: function(u, weights), point)

    def pulled(delta: Tensor) -> tuple[Tensor, Tensors]:
        back, *slopes = pull(ops.cast(delta, value.dtype))
        pairs = zip(slopes, weights, strict=True)
        typed = (ops.cast(slope, weight.dtype) for slope, weight in pairs)
        return ops.cast(back, delta.dtype), tuple(typed)

    return pulled


def batch_first(tensor: Tensor) -> Tensor:
    """Return `(depth, batch, ...)` as `(batch, depth, ...)`."""
    return ops.swapaxes(tensor, 0, 1)


depth_first = batch_first


def prefix_sums(terms: Tensor) -> Tensor:
    """Return `Σ_{k≤l} terms_k` along the first axis; derivatives are suffix sums."""

    def function(terms: Tensor) -> Any:
        return _sums(terms), lambda *upstream: suffix_sums(upstream[0])

    return ops.custom_gradient(function)(terms)


def suffix_sums(terms: Tensor) -> Tensor:
    """Return `Σ_{k≥l} terms_k` along the first axis, which is not differentiated."""
    return _sums(terms, backwards=True)


def _sums(terms: Tensor, backwards: bool = False) -> Tensor:
    """Sum within up to 16 equal groups first, then over the groups.

    Where devices share the first axis, only the sums of groups travel.
    """
    depth, groups = terms.shape[0], math.gcd(terms.shape[0], 16)
    shape = ops.shape(terms)
    parts = ops.reshape(terms, (groups, depth // groups, *shape[1:]))
    within = _along(parts, backwards)
    totals = within[:, 0] if backwards else within[:, -1]
    over = _along(ops.expand_dims(totals, 0), backwards)[0]
    none = ops.zeros_like(totals[:1])
    others = [over[1:], none] if backwards else [none, over[:-1]]
    other = ops.expand_dims(ops.concatenate(others, axis=0), 1)
    return ops.reshape(within + other, shape)


def _along(terms: Tensor, backwards: bool) -> Tensor:
    """Sum along the second axis, from its first term on or from its last."""
    if backwards:
        return ops.flip(_along(ops.flip(terms, axis=1), False), axis=1)
    count = terms.shape[1]
    if count == 1:
        return terms
    # Those of pairs first, log(count) deep: XLA's takes count² steps on a CPU.
    odd = _along(terms[:, : count - 1 : 2] + terms[:, 1::2], False)
    rest = odd[:, : (count - 1) // 2] + terms[:, 2::2]
    even = ops.concatenate([terms[:, :1], rest], axis=1)
    both = ops.stack([even[:, : count // 2], odd], axis=2)
    shape = ops.shape(terms)
    sums = ops.reshape(both, (shape[0], count - count % 2, *shape[2:]))
    return ops.concatenate([sums, even[:, -1:]], axis=1) if count % 2 else sums
