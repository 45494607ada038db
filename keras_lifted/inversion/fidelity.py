"""How far the network's pre-activation is from the data."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_lifted.layers.gradients import per_sample_antiderivative
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import lifted_real

Tensor = Any

# A proximal step so short that it only projects onto the domain.
_SHORT = 1e-6


def fidelity(sigma: ProximalMap, y: Tensor, z: Tensor) -> Tensor:
    """The Bregman penalty `F(y) + F*(z) − ⟨y, z⟩` of each sample, `(batch,)`.

    Its gradient in `z` is `σ(z) − y`. Computed as `½‖y − σ(z)‖² + D_Ψ(y, σ(z))`,
    without cancellation where Ψ is an indicator function.
    """
    activation, parameters = sigma.activation, sigma.parameters

    def terms(z: Tensor) -> Tensor:
        x = sigma(z)
        there = activation.potential_terms(y, *parameters)
        here = activation.potential_terms(x, *parameters)
        if activation.separable:
            by_conjugate = (
                x * z - 0.5 * ops.square(x) - activation.conjugate_terms(z, *parameters)
            )
            here = ops.where(ops.isfinite(here), here, by_conjugate)
        distance = sum_per_sample(there) - sum_per_sample(here)
        # ½‖y − x‖² − ⟨z − x, y − x⟩, where z − x is a subgradient of Ψ at x
        return distance + sum_per_sample((y - x) * (0.5 * (y - x) - (z - x)))

    return per_sample_antiderivative(terms, lambda z: sigma(z) - y, z)


def in_range(sigma: ProximalMap, y: np.ndarray, out_of_range: str) -> np.ndarray:
    """`y`, or its projection onto the closed domain of the potential.

    Args:
        sigma: the network's last activation.
        y: data.
        out_of_range: "raise" or "project".

    Raises:
        ValueError: if `y` leaves the domain and is not to be projected.
    """
    values = lifted_real(y)
    terms = sigma.activation.potential_terms(values, *sigma.parameters)
    outside = np.broadcast_to(~np.isfinite(ops.convert_to_numpy(terms)), y.shape)
    if not outside.any():
        return y
    step = ops.convert_to_tensor(_SHORT, dtype=values.dtype)
    nearest = ops.convert_to_numpy(sigma.prox(values, step))
    farthest = np.abs(nearest - y)[outside].max()
    if out_of_range == "project":
        return np.where(outside, nearest, y)
    name = type(sigma.activation).__name__
    raise ValueError(
        f"`y` holds {int(outside.sum())} of {y.size} values that the network's last "
        f"activation, {name}, never takes, up to {farthest:.3g} away from those it "
        "does. Pass out_of_range='project' to move them to the nearest that it "
        f"takes. Received: values from {y.min():.3g} to {y.max():.3g}."
    )
