"""Proximal activations by name, and as equivalents of what Keras offers."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras

from keras_lifted.checks import made_by_name
from keras_lifted.layers import growing, projections, rectifiers, squashing, thresholds
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.probe import recognise
from keras_lifted.layers.rectifiers import Identity
from keras_lifted.layers.softmax import Softmax

CLASSES: dict[str, type[ProximalActivation]] = {
    "arctan": squashing.Arctan,
    "bent_identity": growing.BentIdentity,
    "box_projection": projections.BoxProjection,
    "dual_soft_threshold": thresholds.DualSoftThreshold,
    "elu": rectifiers.ELU,
    "group_soft_threshold": thresholds.GroupSoftThreshold,
    "hard_tanh": projections.HardTanh,
    "identity": Identity,
    "isrlu": rectifiers.ISRLU,
    "isru": squashing.ISRU,
    "l2_ball_projection": projections.L2BallProjection,
    "leaky_relu": rectifiers.LeakyReLU,
    "linear": Identity,
    "relu": rectifiers.ReLU,
    "sigmoid": squashing.Sigmoid,
    "signed_log": growing.SignedLog,
    "simplex_projection": projections.SimplexProjection,
    "soft_threshold": thresholds.SoftThreshold,
    "softmax": Softmax,
    "softplus": growing.Softplus,
    "softsign": squashing.Softsign,
    "tanh": squashing.Tanh,
}

# Not monotone, steeper than 1, with a jump, or not a gradient; Keras's sparsemax sums
# to less than 1 where three entries or more are positive: use `SimplexProjection`.
NOT_PROXIMAL = frozenset(
    {
        "exponential",
        "gelu",
        "glu",
        "hard_shrink",
        "hard_silu",
        "hard_swish",
        "log_softmax",
        "mish",
        "selu",
        "silu",
        "sparsemax",
        "swish",
        "threshold",
    }
)


def _rectifier(
    negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> ProximalActivation | None:
    """Return Keras's general ReLU, where it is a proximal map."""
    if threshold != 0 or not 0 <= negative_slope <= 1:
        return None
    if max_value is not None:
        proper = negative_slope == 0 and max_value > 0
        return projections.HardTanh(0.0, max_value) if proper else None
    return rectifiers.LeakyReLU(negative_slope) if negative_slope else rectifiers.ReLU()


def _elu(alpha: float) -> ProximalActivation | None:
    if alpha == 0:
        return rectifiers.ReLU()
    return rectifiers.ELU(alpha) if 0 < alpha <= 1 else None


def _softmax(axis: Any) -> ProximalActivation | None:
    return Softmax(axis) if isinstance(axis, int) and axis != 0 else None


# Keras function name: from its parameters to the activation.
_FUNCTIONS: dict[str, Callable[..., ProximalActivation | None]] = {
    "celu": lambda alpha: rectifiers.ELU() if alpha == 1 else None,
    "elu": _elu,
    "hard_tanh": projections.HardTanh,
    "leaky_relu": _rectifier,
    "relu": _rectifier,
    "relu6": lambda: projections.HardTanh(0.0, 6.0),
    "sigmoid": squashing.Sigmoid,
    "soft_shrink": lambda threshold: (
        thresholds.SoftThreshold(threshold) if threshold >= 0 else None
    ),
    "softmax": _softmax,
    "softplus": growing.Softplus,
    "softsign": squashing.Softsign,
    "tanh": squashing.Tanh,
}

_BY_LAYER: dict[type, Callable[[Any], ProximalActivation | None]] = {
    keras.layers.Activation: lambda layer: from_keras(layer.activation),
    keras.layers.ELU: lambda layer: _elu(float(layer.alpha)),
    keras.layers.LeakyReLU: lambda layer: _rectifier(float(layer.negative_slope)),
    keras.layers.ReLU: lambda layer: _rectifier(
        float(layer.negative_slope), layer.max_value, layer.threshold
    ),
    keras.layers.Softmax: lambda layer: _softmax(layer.axis),
}

KERAS_LAYERS: tuple[Any, ...] = tuple(_BY_LAYER)
# Where None from `from_keras` means that the parameters make it no proximal map.
_RECTIFIERS = (keras.layers.ELU, keras.layers.LeakyReLU, keras.layers.ReLU)
_RECTIFIER_FUNCTIONS = frozenset({"elu", "leaky_relu", "relu"})


def from_keras(function_or_layer: Any) -> ProximalActivation | None:
    """Return the proximal activation equal to a Keras function or layer, or None.

    Args:
        function_or_layer: callable. A function of `keras.activations` or `keras.ops`,
            an activation layer, or any function of a tensor, such as a lambda or a
            `functools.partial`, which is recognised by what it computes.

    Returns:
        A new `ProximalActivation`, or one that was passed in; None for a linear
        function, for what is not a proximal map and for the unknown.

    Example:

    >>> import keras, keras_lifted as kl
    >>> kl.layers.from_keras(keras.activations.relu6).max_value
    6.0
    >>> kl.layers.from_keras(keras.activations.gelu) is None
    True
    """
    if isinstance(function_or_layer, ProximalActivation):
        return function_or_layer
    layer = _BY_LAYER.get(type(function_or_layer))
    if layer is not None:
        return layer(function_or_layer)
    name = keras_name(function_or_layer)
    if name is None or getattr(function_or_layer, "args", False):
        function = _is_function(function_or_layer)
        found = recognise(function_or_layer) if function else None
        return None if isinstance(found, Identity) else found
    if name not in _FUNCTIONS:
        return None
    bound = inspect.signature(function_or_layer).bind_partial()
    bound.apply_defaults()
    return _FUNCTIONS[name](**bound.arguments)


def _is_function(subject: Any) -> bool:
    return callable(subject) and not isinstance(subject, (keras.layers.Layer, type))


def get(identifier: Any) -> ProximalActivation:
    """Return the proximal activation that `identifier` means.

    Args:
        identifier: activation, str, dict or callable. A proximal activation or its
            class, a name (`"relu"`, `"soft_threshold"`, `"SoftThreshold"`, Keras's
            names), a config of `keras.saving.serialize_keras_object`, or what
            `from_keras` takes.

    Raises:
        ValueError: If it means none; the message says which names are known.

    Example:

    >>> import keras_lifted as kl
    >>> kl.layers.get("soft_threshold").threshold
    0.1
    """
    if isinstance(identifier, type) and issubclass(identifier, ProximalActivation):
        return identifier()
    found = None
    if isinstance(identifier, str):
        found = _from_name(identifier)
    elif isinstance(identifier, dict):
        found = from_keras(keras.saving.deserialize_keras_object(identifier))
    elif identifier is keras.activations.linear:
        found = Identity()
    elif callable(identifier):
        found = from_keras(identifier)
    if found is not None:
        return found
    raise ValueError(_explain(identifier))


def is_not_proximal(function_or_layer: Any) -> bool:
    """Return whether this is an activation, and not a proximal map, of whatever class.

    Parameters count: `LeakyReLU(negative_slope=2.0)` is not a proximal map.
    """
    subject = function_or_layer
    if type(subject) is keras.layers.Activation:
        subject = subject.activation
    name = keras_name(subject)
    if type(subject) in _RECTIFIERS or name in _RECTIFIER_FUNCTIONS:
        return from_keras(subject) is None
    if name is not None:
        return name in NOT_PROXIMAL
    return _is_function(subject) and recognise(subject) is None


def keras_name(function: Any) -> str | None:
    """Return the name under which Keras exports `function`, or that of a partial."""
    if isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        return None
    for home in (keras.activations, keras.ops):
        if getattr(home, name, None) is function:
            return name
    return None


def _from_name(name: str) -> ProximalActivation | None:
    found = made_by_name(name, CLASSES)
    if found is None and name in _FUNCTIONS:
        return from_keras(getattr(keras.activations, name, None))
    return found


def _explain(identifier: Any) -> str:
    names = ", ".join(sorted({*CLASSES, *_FUNCTIONS}))
    name = identifier
    if isinstance(identifier, keras.layers.Activation):
        name = identifier.activation
    name = name if isinstance(name, str) else keras_name(name)
    if name in NOT_PROXIMAL:
        return (
            f"{name!r} is no proximal map (the gradient of a convex function with "
            "slopes at most 1), so it cannot be lifted; use one that is, such as "
            f"'relu', 'elu' or 'softplus'. Received: {identifier!r}"
        )
    return (
        "The activation must be a ProximalActivation, its class, its config, a "
        f"Keras activation equal to one, or one of: {names}. "
        f"Received: {identifier!r}"
    )
