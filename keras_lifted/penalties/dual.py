"""Formulas of the penalties whose lifted variable is carried by its dual.

`x = σ(v)`, and as a function of x each of them is `F(x) − ⟨x, z⟩` and terms
in z alone, so that all move their lifted variables alike.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_lifted.layers.base import sum_per_sample
from keras_lifted.layers.map import ProximalMap

Tensor = Any

# Relative displacements below which the trapezoidal rule beats a difference.
NEAR = 1e-3


def drive(sigma: ProximalMap, s: Tensor, z: Tensor, d: Tensor) -> Tensor:
    """`(batch,)`, with the gradient of `F*(z) − F*(s)` in the parameters of σ."""
    # It is the integral of ⟨d, ∂σ⟩ from s = z − d to z.
    near = 0.5 * sum_per_sample(ops.stop_gradient(d) * (sigma(z) + sigma(s)))
    axes = tuple(range(1, len(z.shape)))
    size, moved = (ops.max(ops.abs(each), axis=axes) for each in (z, d))
    return ops.where(moved <= NEAR * size, near, sigma.bregman(s, z))


def proximal(
    sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, step: Tensor
) -> Tensor:
    """Dual of `argmin_x F(x) − ⟨x, z⟩ + ⟨q, x⟩ + (1/2 step)‖x − σ(s)‖²`."""
    # It minimises F(x) + ½‖x − v‖²/step, and its subgradient of F is the new dual.
    v = sigma(s) - step * (q - z)
    x = sigma.prox(v / (1.0 + step), step / (1.0 + step))
    return (v - x) / step
