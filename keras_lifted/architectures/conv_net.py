"""Strided convolutions and dense layers."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.architectures.arguments import convolution
from keras_lifted.architectures.arguments import flatten
from keras_lifted.checks import check_count
from keras_lifted.checks import check_kernel_size
from keras_lifted.models.lifted_model import LiftedModel


def conv_net(
    input_shape: Sequence[int],
    filters: Sequence[int],
    outputs: int,
    units: Sequence[int] = (),
    activation: Any = "relu",
    kernel_size: int = 3,
    strides: int = 2,
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Build `x_l = σ_l(K_l ∗ x_{l−1} + b_l)` with strides, then dense layers.

    The strides take the place of pooling, so every block is one affine map of the
    lifted variables before it.

    Args:
        input_shape: tuple. The shape of one sample, `(height, width, channels)`.
        filters: sequence of int. The channels of the convolutions, from input to
            output.
        outputs: int. The width of the output, `(batch, outputs)`.
        units: sequence of int. The widths of the dense layers before the output.
            Defaults to ().
        activation: activation or sequence. As for `mlp`; a sequence has one for each
            convolution, then one for each dense layer. Defaults to "relu".
        kernel_size: int. The odd side of the kernels in pixels. Defaults to 3.
        strides: int. By how much each convolution divides height and width. Defaults to
            2.
        cls: class. As for `mlp`. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "activation_1", ….

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Wang et al., arXiv 2510.09796.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.conv_net((28, 28, 1), (16, 32), 10, units=(64,))
    >>> model.output_shape
    (None, 10)
    """
    shape = arguments.check_shape(input_shape, 3)
    filters = arguments.check_widths("filters", filters)
    outputs = check_count("outputs", outputs)
    units = arguments.check_widths("units", units, least=0)
    kernel_size = check_kernel_size(kernel_size)
    strides = check_count("strides", strides)
    cls = arguments.check_class(cls)
    names = [f"activation_{i + 1}" for i in range(len(filters) + len(units))]
    sigmas = iter(arguments.activations(activation, names))
    x = inputs = keras.Input(shape)
    for i, width in enumerate(filters):
        x = convolution(width, kernel_size, f"conv_{i + 1}", strides)(x)
        x = next(sigmas)(x)
    x = flatten()(x)
    for i, width in enumerate(units):
        x = next(sigmas)(layers.Dense(width, name=f"dense_{i + 1}")(x))
    return cls(inputs, layers.Dense(outputs, name="output")(x), name=name)
