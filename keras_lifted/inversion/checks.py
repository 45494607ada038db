"""Checks of the arguments of `invert`: each raises a ValueError."""

import warnings
from typing import Any

import numpy as np
from keras import ops

from keras_lifted.checks import check_array, described
from keras_lifted.inversion.fidelity import Fidelity
from keras_lifted.inversion.network import Sourced
from keras_lifted.regularizers.base import Regularizer


def check_data(y: Any, network: Sourced) -> np.ndarray:
    """Return finite outputs of a network, as many as there are copies."""
    array = check_array("y", y, network.compute_dtype)
    if array.shape[1:] != network.outputs or array.size == 0:
        raise ValueError(
            "`y` must be a batch of outputs, in the shape of the network's outputs, "
            f"(batch, {', '.join(map(str, network.outputs))}); add the axis of the "
            f"batch for a single one, y[None]. Received: y of shape {array.shape}."
        )
    bad = ~np.isfinite(array)
    if bad.any():
        raise ValueError(
            "`y` must be finite. Received: an array of shape "
            f"{array.shape} with {int(bad.sum())} NaN or infinite values. Clean the "
            "data (e.g. numpy.nan_to_num)."
        )
    if network.copies not in (1, len(array)):
        raise ValueError(
            f"The network does something else to each of {network.copies} samples, "
            f"such as a `Mask` with {network.copies} masks, so `y` must hold as many. "
            f"Received: y of shape {array.shape}."
        )
    return array


def in_range(fidelity: Fidelity, y: np.ndarray, out_of_range: str) -> np.ndarray:
    """Return the nearest data that the fidelity takes; unless "project" they are y."""
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


def check_initial(initial: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """Return finite inputs of this shape to begin with; zeros for None."""
    if initial is None:
        return ops.zeros(shape, dtype)
    array = check_array("initial", initial, dtype)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(
            f"`initial` must be finite inputs of shape {shape}. Received: shape "
            f"{array.shape}, {int((~np.isfinite(array)).sum())} values not finite."
        )
    return ops.convert_to_tensor(array)


def check_positive(
    name: str, value: Any, shape: tuple[int, ...], fix: str
) -> np.ndarray:
    """Return a positive number, or one for each sample or entry, in this shape."""
    try:
        numbers_ = np.broadcast_to(np.asarray(value, dtype="float64"), shape)
        good = bool(np.isfinite(numbers_).all() and (numbers_ > 0).all())
        good &= np.asarray(value).dtype != bool
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            f"`{name}` must be positive and finite, one number or {shape[0]}, one for "
            f"each sample; {fix}. Received: {name}={described(value)}"
        )
    return numbers_


def check_prox(regularizer: Regularizer, u: Any) -> bool:
    """Return whether every proximal map belongs to its value; warn where it does not.

    `prox(v, 1)` must not be worse than v itself as a minimum of `½‖w − v‖² + g(w)`.
    """
    valued = True
    for term in regularizer.terms:
        like = ops.convert_to_numpy(term.operator(u))
        noise = np.random.default_rng(0).standard_normal(like.shape)
        v = ops.convert_to_tensor(noise.astype(like.dtype))
        w = _applied(term, v)
        valued &= term.valued
        if not term.valued or term.constraint:
            continue
        moved = 0.5 * float(ops.sum(ops.square(w - v)))
        new, old = (float(ops.sum(term.value(each))) for each in (w, v))
        if moved + new > old + 1e-3 * (abs(old) + abs(new)) + 1e-6:
            valued = False
            warnings.warn(
                f"`prox` of {type(term).__name__} does not minimise its `value`. It is "
                "taken for a denoiser: `invert` looks for a fixed point, and there is "
                "no objective but the fidelity. Say so by Denoiser(network).",
                stacklevel=4,
            )
    return valued


def _applied(term: Regularizer, v: Any) -> Any:
    """Return `prox(v, 1)`, if it and the value are what they should be."""
    name, shape = type(term).__name__, tuple(v.shape)
    step = ops.ones((1,) * len(shape), v.dtype)
    try:
        w, again, value = term.prox(v, step), term.prox(v, step), term.value(v)
    except Exception as error:
        raise ValueError(
            f"`prox` and `value` of {name} must take samples of shape {shape}. "
            f"Received: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    found = tuple(ops.shape(w)), tuple(ops.shape(value))
    if found != (shape, shape[:1]):
        raise ValueError(
            f"`prox` of {name} must return the shape of its argument, and `value` one "
            f"number for each sample. Received: shapes {found[0]} and {found[1]} for "
            f"samples of shape {shape}."
        )
    if not bool(ops.all(w == again)):
        raise ValueError(
            f"`prox` of {name} is random: two calls with the same samples differ. "
            "Leave the layers that add noise, drop units or draw masks out of it."
        )
    return w
