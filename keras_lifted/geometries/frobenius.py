"""Steps in the Frobenius norm: the implicit stochastic gradient of the batch."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.base import Geometry
from keras_lifted.geometries.base import State
from keras_lifted.geometries.base import Step

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Frobenius(Geometry):
    """`ΔW = (w A + I/τ)⁻¹ G`, `A` the Gram matrix of the batch's inputs.

    The proximal step of the block's quadratic majoriser for the distance
    `(1/2τ)‖ΔW‖²`: monotone for any `τ`, where the plain gradient step
    diverges. `w` is the penalty weight, 1 for an output block. By Woodbury's
    identity only a system of the size of the batch is solved. Of a batch of
    more than 128 rows the first 128 stand for all.

    Cost: a system of at most as many equations as the batch has rows (or of
    the kernel's inputs, if these are fewer) in every step; no memory.

    Source: Wang et al., arXiv 2510.09796, section 4; Toulis & Airoldi, 2017.

    Example:

    >>> import keras_lifted as kl
    >>> kl.geometries.Frobenius().get_config()
    {}
    """

    def displace(self, state: State, step: Step, gram: Tensor | None) -> Displacement:
        """See `Geometry.displace`."""
        rows, inputs = step.rows.shape
        count = ops.cast(ops.shape(step.rows)[0], step.rows.dtype)
        scaled = step.rows * ops.sqrt(step.curvature / count)
        bias = None
        if step.bias is not None:  # its input is 1 and has no covariance with others
            bias = step.bias / (1.0 + step.curvature * step.rate)
        if rows is not None and rows < inputs:
            system = ops.matmul(scaled, ops.transpose(scaled))
            system = system + ops.eye(rows, dtype=system.dtype) / step.rate
            inner = ops.solve(system, ops.matmul(scaled, step.gradient))
            kernel = step.gradient - ops.matmul(ops.transpose(scaled), inner)
        else:
            system = ops.matmul(ops.transpose(scaled), scaled)
            system = system + ops.eye(inputs, dtype=system.dtype) / step.rate
            kernel = ops.solve(system, step.gradient) / step.rate
        return Displacement(step.joined(kernel, bias), step.rate, {})
