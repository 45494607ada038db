"""The network that is inverted, and what its user may hand over for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops

from keras_lifted.layers.identity import Identity
from keras_lifted.layers.precision import lifted_real
from keras_lifted.layers.precision import real_dtype

Tensor = Any


@final
class Sourced(keras.layers.Layer):
    """`network` behind an identity, so that its input is a lifted variable too.

    Args:
        network: a built layer or model.
    """

    def __init__(self, network: keras.layers.Layer) -> None:
        super().__init__(dtype=real_dtype(), autocast=False)
        self.source = Identity(name="input", dtype=real_dtype())
        self.network = network
        self.built = True

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """The outputs of the network in inference."""
        return self.network(self.source(x))


def sourced(
    network: Any, input_shape: Sequence[int] | None
) -> tuple[Sourced, tuple[int, ...], tuple[int, ...]]:
    """The network ready to be lifted, the shapes of one input and of one output.

    Raises:
        ValueError: if it is no Keras layer, is not built and no `input_shape` says
            how, or has several inputs or outputs.
    """
    if not isinstance(network, keras.layers.Layer):
        raise ValueError(
            "`network` must be a Keras layer or model, e.g. keras.layers.Dense(512, "
            f"activation='relu'). Received: {network!r}"
        )
    shape = _input_shape(network, input_shape)
    built = Sourced(network)
    zeros = ops.zeros((1, *shape), real_dtype())
    try:
        outputs = built(zeros, training=False)
    except Exception as error:
        raise ValueError(
            f"The network '{network.name}' does not take inputs of shape (batch, "
            f"{', '.join(map(str, shape))}). Pass the shape of one input as "
            f"`input_shape`. Received: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(outputs, "shape"):
        raise ValueError(
            f"`invert` takes a network with one output. '{network.name}' returns a "
            f"{type(outputs).__name__}; make a model of one of them, e.g. "
            "keras.Model(model.inputs, model.outputs[0])."
        )
    return built, shape, tuple(outputs.shape[1:])


def _input_shape(
    network: keras.layers.Layer, given: Sequence[int] | None
) -> tuple[int, ...]:
    """The shape of one input."""
    if given is not None:
        return tuple(int(size) for size in given)
    known: Any = getattr(network, "input_shape", None)
    if known is None and network.built:
        known = (network.get_build_config() or {}).get("input_shape")
    several = isinstance(known, dict) or (
        isinstance(known, (list, tuple)) and known and not _is_size(known[0])
    )
    if several and len(known) == 1 and not isinstance(known, dict):
        known, several = known[0], False
    if several:
        raise ValueError(
            f"`invert` takes a network with one input. '{network.name}' has inputs "
            f"of shapes {known}. Fix the others: wrap it in a model of one input."
        )
    if known is None or None in known[1:]:
        raise ValueError(
            f"The shape of the inputs of '{network.name}' is not known: {known}. "
            "Pass the shape of one input without the batch, e.g. "
            "`input_shape=(28, 28, 1)`, or build the network first."
        )
    return tuple(known[1:])


def _is_size(size: Any) -> bool:
    return size is None or isinstance(size, int)


def check_information(network: Sourced, start: Tensor) -> None:
    """Raise a ValueError if the outputs do not depend on the inputs.

    It compares the outputs at `start`, at 0 and at noise of several sizes.
    """
    shape = tuple(start.shape[1:])
    noise = np.random.default_rng(0).standard_normal((6, *shape))
    sizes = np.repeat([0.1, 1.0, 10.0], 2).reshape(-1, *(1,) * len(shape))
    rows = [start[:1], ops.zeros_like(start[:1]), lifted_real(noise * sizes)]
    outputs = ops.convert_to_numpy(network(ops.concatenate(rows), training=False))
    if np.ptp(outputs, axis=0).max() > 0:
        return
    raise ValueError(
        f"The outputs of '{network.network.name}' are the same for all inputs, so "
        "they hold no information about them, and there is nothing to invert. Are "
        "its weights zero, or are all its units inactive?"
    )
