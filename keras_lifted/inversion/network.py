"""The network that is inverted, and what its user may hand over for it."""

from collections.abc import Sequence
from typing import Any, final

import keras
import numpy as np
from keras import ops

from keras_lifted.backend import vector_jacobian
from keras_lifted.layers.precision import dtype_of, real_dtype
from keras_lifted.layers.rectifiers import Identity
from keras_lifted.lifting.blocks import walk_layers

Tensor = Any


@final
class Sourced(keras.layers.Layer):
    """`network` behind an identity, so that its input is a lifted variable too.

    It computes in float64 if the network does, else in float32.

    Attributes:
        inputs: the shape of one input.
        outputs: the shape of one output.
        copies: outputs for one input: more than 1 where the network does something
            else to each sample, such as a `Mask` with one mask for each image.
        coarse: whether a layer computes in half precision.
    """

    def __init__(self, network: Any, input_shape: Sequence[int] | None) -> None:
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(
                "`network` must be a Keras layer or model, e.g. keras.layers.Dense("
                "512, activation='relu'), and come before `y`. Received: network of "
                f"type {type(network).__name__}."
            )
        shape = _input_shape(network, input_shape)
        dtype = _dtype_of(network)
        super().__init__(dtype=dtype, autocast=False)
        self.source = Identity(name="input", dtype=dtype)
        self.network = network
        kinds = {layer.compute_dtype for layer, _ in walk_layers(self, whole=False)}
        self.coarse = not kinds.isdisjoint({"float16", "bfloat16"})
        self.built = True
        try:
            outputs = self(ops.zeros((1, *shape), dtype), training=False)
        except Exception as error:
            raise ValueError(
                f"The network '{network.name}' does not take inputs of shape (batch, "
                f"{', '.join(map(str, shape))}). Pass the shape of one input as "
                f"`input_shape`. Received: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        if not hasattr(outputs, "shape"):
            raise ValueError(
                f"`invert` takes a network with one output. '{network.name}' returns a "
                f"{type(outputs).__name__}; make a model of one of them, e.g. "
                "keras.Model(model.inputs, model.outputs[0])."
            )
        _check_gradient(self, shape)
        self.inputs = shape
        self.copies, *sizes = outputs.shape
        self.outputs = tuple(sizes)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        """Return the outputs of the network in inference."""
        return self.network(self.source(x))


def _check_gradient(network: Sourced, shape: tuple[int, ...]) -> None:
    """Raise a ValueError if outputs change with the inputs, but have no gradient."""
    noise = np.random.default_rng(0).standard_normal((3, *shape))
    moved, received = False, "a gradient of 0"
    try:
        none = ops.nan_to_num(network(ops.zeros((1, *shape), network.compute_dtype)))
        for size, row in zip((0.1, 1.0, 10.0), noise, strict=True):
            u = ops.cast(size * row[None], network.compute_dtype)
            outputs, again = (ops.nan_to_num(network(u)) for _ in "ab")
            if bool(ops.any(outputs != again)):  # random: told by `check_outputs`
                return
            if bool(ops.any(vector_jacobian(network, u, outputs - none) != 0)):
                return
            moved = moved or bool(ops.any(outputs != none))
    except Exception as error:
        moved, received = True, f"{type(error).__name__}: {str(error)[:150]}"
    if moved:
        raise ValueError(
            f"The outputs of '{network.network.name}' must be differentiable in its "
            "inputs, real numbers. Operators outside of TensorFlow and JAX need their "
            "adjoint: tf.custom_gradient around tf.numpy_function, jax.custom_vjp "
            f"around jax.pure_callback. Received: {received}"
        )


def _dtype_of(network: keras.layers.Layer) -> str:
    """Return float64 if a variable is, or the layer has none and computes in it."""
    asked = {v.dtype for v in network.variables} or {network.compute_dtype}
    if "float64" in asked and dtype_of(ops.zeros((), "float64")) != "float64":
        raise ValueError(
            f"The network '{network.name}' asks for float64, which JAX offers only "
            "with the environment variable JAX_ENABLE_X64=1, set before Python starts. "
            "Set it, or build the network in float32."
        )
    return "float64" if "float64" in asked | {real_dtype()} else "float32"


def _input_shape(
    network: keras.layers.Layer, given: Sequence[int] | None
) -> tuple[int, ...]:
    """Return the shape of one input."""
    if given is not None:
        return tuple(int(size) for size in given)
    known: Any = getattr(network, "input_shape", None)
    if known is None and network.built:
        known = (network.get_build_config() or {}).get("input_shape")
    nested = (list, tuple)
    if isinstance(known, nested) and len(known) == 1 and isinstance(known[0], nested):
        known = known[0]
    if isinstance(known, dict) or any(isinstance(s, nested) for s in known or ()):
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


def check_outputs(network: Sourced, start: Tensor) -> None:
    """Raise a ValueError if the outputs are random, or the same for all inputs.

    It compares the outputs at `start`, at 0 and at noise of several sizes.
    """
    shape, name = tuple(start.shape[1:]), network.network.name
    noise = np.random.default_rng(0).standard_normal((6, *shape))
    sizes = np.repeat([0.1, 1.0, 10.0], 2).reshape(-1, *(1,) * len(shape))
    noise = ops.cast(noise * sizes, start.dtype)
    rows = [start[:1], ops.zeros_like(start[:1]), *(row[None] for row in noise)]
    once, twice = (
        np.stack([ops.convert_to_numpy(network(row, training=False)) for row in rows])
        for _ in "ab"
    )
    if not np.allclose(once, twice, rtol=1e-3, atol=1e-4 * np.abs(once).max()):
        random = [
            layer.name
            for layer, _ in walk_layers(network, whole=False)
            if hasattr(layer, "seed_generator")
        ]
        raise ValueError(
            f"The outputs of '{name}' are random: two calls with the same inputs "
            "differ. Invert the network without the layers that add noise, drop "
            "units or draw masks; noise belongs to `y`, and its size to `noise_std`. "
            f"Layers with a random seed: {random}."
        )
    if np.ptp(once, axis=0).max() > 0:
        return
    raise ValueError(
        f"The outputs of '{name}' are the same for all inputs, so they hold no "
        "information about them, and there is nothing to invert. Are its weights "
        "zero, or are all its units inactive?"
    )
