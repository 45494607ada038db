"""The multilayer perceptron."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.checks import check_count
from keras_lifted.models.lifted_model import LiftedModel


def mlp(
    input_shape: Sequence[int],
    units: Sequence[int],
    outputs: int,
    activation: Any = "relu",
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Build `x_l = σ_l(W_l x_{l−1} + b_l)` and a linear output `W_L x_{L−1} + b_L`.

    Args:
        input_shape: tuple. The shape of one sample, without the batch; it is flattened.
        units: sequence of int. The widths of the hidden layers, from input to output.
        outputs: int. The width of the output, `(batch, outputs)`.
        activation: activation or sequence. A proximal activation of `kl.layers`, its
            class, name or config, for every hidden layer; or a sequence of these, one
            for each. Each layer gets a copy of an instance. Defaults to "relu".
        cls: class. `kl.LiftedModel`, or `keras.Model` for the same network without
            lifting. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "activation_1", ….

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Wang & Benning, JMLR 24(232), 2023.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.mlp((28, 28, 1), (256, 128), 10, activation="soft_threshold")
    >>> model.output_shape
    (None, 10)
    """
    shape = arguments.check_shape(input_shape)
    units = arguments.check_widths("units", units)
    outputs = check_count("outputs", outputs)
    cls = arguments.check_class(cls)
    names = [f"activation_{i + 1}" for i in range(len(units))]
    sigmas = arguments.activations(activation, names)
    inputs = keras.Input(shape)
    x = layers.Flatten()(inputs) if len(shape) > 1 else inputs
    for i, (width, sigma) in enumerate(zip(units, sigmas, strict=True)):
        x = sigma(layers.Dense(width, name=f"dense_{i + 1}")(x))
    return cls(inputs, layers.Dense(outputs, name="output")(x), name=name)
