"""Equal blocks in a row: all that a stack computes, as pure functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import scan

Tensor = Any


# rule(z, s, q) -> (displacement of z, whatever else is kept of each block)
Rule = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, tuple[Tensor, ...]]]


@dataclasses.dataclass(frozen=True)
class Chain:
    """`z_l = u_{l−1} W_l + b_l`, then `u_l = x_l` or `u_l = u_{l−1} + x_l`.

    `x_l` is `σ(z_l)`, or a lifted variable in its place. Tensors of all blocks are
    depth first, `(depth, batch, ..., units)`: `before` holds `u_0 … u_{D−1}`, `x`
    and `z` those of the blocks.

    Attributes:
        kernel: `W`, `(depth, units, units)`.
        bias: `b`, `(depth, units)`.
        residual: whether a skip goes around each block.
    """

    kernel: Tensor
    bias: Tensor
    residual: bool

    # -- one block after the other -------------------------------------------

    def run(self, u: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
        """`u_D` of the ordinary forward pass from `u_0`."""

        def block(u: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            return self._after(u, sigma(_affine(u, *weights))), ()

        return scan(block, u, (self.kernel, self.bias))[0]

    def run_kept(
        self, u: Tensor, sigma: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """`before` and `z` of that pass."""

        def block(u: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            z = _affine(u, *weights)
            return self._after(u, sigma(z)), (u, z)

        both = (u.dtype, u.dtype)
        before, z = scan(block, u, (self.kernel, self.bias), both)[1]
        return before, z

    def sweep(
        self, q: Tensor, z: Tensor, s: Tensor, rule: Rule, dtypes: tuple[Any, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """From the output to the input; each block passes on what `rule` returns.

        Args:
            q: derivative in `u_D`.
            z: pre-activations of all blocks.
            s: what else `rule` reads of each block.
            rule: what a block does with `q`.
            dtypes: of what is kept of each block.

        Returns:
            The derivative in `u_0`, and what is kept of all blocks.
        """

        def block(q: Tensor, slices: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            kernel, z, s = slices
            delta, kept = rule(z, s, q)
            back = ops.matmul(delta, ops.transpose(ops.cast(kernel, delta.dtype)))
            return self._after(q, back), kept

        return scan(block, q, (self.kernel, z, s), dtypes, reverse=True)

    def _after(self, u: Tensor, x: Tensor) -> Tensor:
        return u + x if self.residual else x

    # -- all blocks at once ----------------------------------------------------

    def before(self, u: Tensor, x: Tensor) -> Tensor:
        """`u_0 … u_{D−1}` from `u_0` and all `x`: a shift, or sums of prefixes."""
        first = ops.expand_dims(u, 0)
        if not self.residual:
            return ops.concatenate([first, x[:-1]], axis=0)
        return prefix_sums(ops.concatenate([first, x[:-1]], axis=0))

    def output(self, u: Tensor, x: Tensor) -> Tensor:
        """`u_D` from `u_0` and all `x`."""
        return u + ops.sum(x, axis=0) if self.residual else x[-1]

    def pre_activations(self, before: Tensor) -> Tensor:
        """All `z`, by one product of matrices."""
        depth, units = self.bias.shape
        rows = ops.reshape(before, (depth, -1, units))
        z = ops.matmul(rows, self.kernel) + ops.expand_dims(self.bias, 1)
        return ops.reshape(z, ops.shape(before))

    def behind(self, q: Tensor, delta: Tensor | None) -> tuple[Tensor, Tensor]:
        """Derivatives in `u_0` and in all `x`, given those in `u_D` and in all `z`.

        Without `delta` those in `z` are zero.
        """
        depth, units = self.bias.shape
        if delta is None:
            size = (depth, *(1 for _ in q.shape))
            passed = ops.tile(ops.expand_dims(q, 0), size)
            if self.residual:
                return q, passed
            at_end = ops.reshape(ops.arange(depth) == depth - 1, size)
            return ops.zeros_like(q), ops.where(at_end, passed, 0.0)
        rows = ops.reshape(delta, (depth, -1, units))
        kernel = ops.transpose(ops.cast(self.kernel, delta.dtype), (0, 2, 1))
        back = ops.reshape(ops.matmul(rows, kernel), ops.shape(delta))
        last = ops.expand_dims(q, 0)
        if not self.residual:
            return back[0], ops.concatenate([back[1:], last], axis=0)
        later = ops.concatenate([back[1:], last], axis=0)
        sums = suffix_sums(later)
        return sums[0] + back[0], sums

    def slopes(self, before: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives in kernel and bias, given those in all `z`."""
        depth, units = self.bias.shape
        shape = (depth, -1, units)
        rows, deltas = ops.reshape(before, shape), ops.reshape(delta, shape)
        rows = ops.cast(rows, deltas.dtype)
        return ops.einsum("dbi,dbj->dij", rows, deltas), ops.sum(deltas, axis=1)


def batch_first(tensor: Tensor) -> Tensor:
    """`(depth, batch, ...)` as `(batch, depth, ...)`."""
    return ops.swapaxes(tensor, 0, 1)


depth_first = batch_first


def _affine(u: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return ops.matmul(u, kernel) + bias


def prefix_sums(terms: Tensor) -> Tensor:
    """`Σ_{k≤l} terms_k` along the first axis, with suffix sums as derivatives."""

    def function(terms: Tensor) -> Any:
        return _sums(terms), lambda *upstream: suffix_sums(upstream[0])

    return ops.custom_gradient(function)(terms)


def suffix_sums(terms: Tensor) -> Tensor:
    """`Σ_{k≥l} terms_k` along the first axis; it has no derivative of its own."""
    return _sums(terms, backwards=True)


def _sums(terms: Tensor, backwards: bool = False) -> Tensor:
    """Within up to 16 equal groups first, then over the groups.

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
    """Sums along the second axis, from its first term on or from its last."""
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
