"""Which data a network can be inverted from."""

from __future__ import annotations

import numpy as np
from keras import ops

from keras_lifted.inversion.fidelity import Fidelity
from keras_lifted.layers.map import ProximalMap


def in_range(fidelity: Fidelity, y: np.ndarray, out_of_range: str) -> np.ndarray:
    """Return `y`, or with "project" the nearest data that the fidelity takes.

    Raises:
        ValueError: If `y` leaves the domain and `out_of_range` is "raise".
    """
    nearest: np.ndarray = ops.convert_to_numpy(
        fidelity.nearest(ops.convert_to_tensor(y))
    )
    outside = nearest != y
    if not outside.any() or out_of_range == "project":
        return nearest
    raise ValueError(
        f"`y` holds {int(outside.sum())} of {y.size} values {fidelity.outside}, up to "
        f"{np.abs(nearest - y).max():.3g} away from others. Pass "
        "out_of_range='project' to move them to the nearest. "
        f"Received: values from {y.min():.3g} to {y.max():.3g}."
    )


def check_axes(
    sigma: ProximalMap, applied: tuple[int, ...], shown: tuple[int, ...]
) -> None:
    """Raise a ValueError if outputs of coupled units were reshaped.

    The last activation `sigma` is applied to the shape `applied`; the network's outputs
    have `shown`.
    """
    if sigma.activation.separable or applied == shown:
        return
    raise ValueError(
        f"The last activation, {type(sigma.activation).__name__}, couples units, so "
        "its axes must be those of the network's outputs. Invert the network without "
        f"the layers that reshape them. Received: shape {applied} at the activation, "
        f"{shown} at the output."
    )
