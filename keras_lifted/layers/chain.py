"""Equal blocks in a row: all that a stack computes, as pure functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lifted.backend import scan

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Chain:
    """`z_l = u_{l−1} W_l + b_l`, then `u_l = x_l` or `u_l = u_{l−1} + x_l`.

    `x_l` is `σ(z_l)`, or a lifted variable in its place. Tensors that hold all
    blocks are batch first, `(batch, depth, ..., units)`.

    Attributes:
        kernel: `W`, `(depth, units, units)`.
        bias: `b`, `(depth, units)`.
        residual: whether a skip goes around each block.
    """

    kernel: Tensor
    bias: Tensor
    residual: bool

    def run(self, u: Tensor, sigma: Callable[[Tensor], Tensor]) -> Tensor:
        """`u_D` of the ordinary forward pass from `u_0`, block by block."""

        def block(u: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            return self._after(u, sigma(_affine(u, *weights))), ()

        return scan(block, u, (self.kernel, self.bias))[0]

    def run_kept(
        self, u: Tensor, sigma: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`u_D`, all `u_{l−1}` and all `z_l` of that pass."""

        def block(u: Tensor, weights: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            z = _affine(u, *weights)
            return self._after(u, sigma(z)), (u, z)

        last, (before, z) = scan(block, u, (self.kernel, self.bias), (u.dtype, u.dtype))
        return last, batch_first(before), batch_first(z)

    def _after(self, u: Tensor, x: Tensor) -> Tensor:
        return u + x if self.residual else x


def batch_first(tensor: Tensor) -> Tensor:
    """`(depth, batch, ...)` as `(batch, depth, ...)`."""
    return ops.swapaxes(tensor, 0, 1)


depth_first = batch_first


def _affine(u: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    return ops.matmul(u, kernel) + bias
