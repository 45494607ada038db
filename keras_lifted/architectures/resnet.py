"""Residual networks, the skip inside or outside the activation."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.architectures.arguments import convolution
from keras_lifted.checks import check_count
from keras_lifted.checks import check_kernel_size
from keras_lifted.models.lifted_model import LiftedModel


def resnet(
    input_shape: Sequence[int],
    filters: Sequence[int],
    outputs: int,
    blocks: int = 2,
    skip: str = "inside",
    activation: Any = "relu",
    kernel_size: int = 3,
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Build residual blocks in stages, each of which begins with a convolution.

    With the skip inside, a block is `x_l = σ(x_{l−1} + K_l ∗ x_{l−1} + b_l)`. With
    the skip outside it is `u_l = u_{l−1} + V_l ∗ σ(K_l ∗ u_{l−1} + b_l) + c_l`: `u`
    stays an affine function of the lifted variables, all of them in the end. A
    stage after the first halves height and width. The mean over pixels of the last
    block, and one affine map of it, are the output.

    Args:
        input_shape: tuple. The shape of one sample, `(height, width, channels)`; height
            and width may be None.
        filters: sequence of int. The channels of the stages, from input to output.
        outputs: int. The width of the output, `(batch, outputs)`.
        blocks: int. The number of residual blocks in each stage. Defaults to 2.
        skip: str. Whether the skip is added "inside" the activation or "outside".
            Defaults to "inside".
        activation: activation or sequence. As for `mlp`; a sequence has `1 + blocks`
            for each stage, the first for the convolution with which it begins. Defaults
            to "relu".
        kernel_size: int. The odd side of the kernels in pixels. Defaults to 3.
        cls: class. As for `mlp`. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "activation_1", ….

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Wang et al., arXiv 2510.09796; He et al., arXiv 1512.03385.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.resnet((32, 32, 3), (16, 32), 10, blocks=1, skip="outside")
    >>> [block.name for block in model.lifted_blocks]
    ['activation_1', 'activation_2', 'activation_3', 'activation_4']
    """
    shape = arguments.check_shape(input_shape, 3, free=True)
    filters = arguments.check_widths("filters", filters)
    outputs = check_count("outputs", outputs)
    blocks = check_count("blocks", blocks, "residual blocks in each stage")
    skip = arguments.check_choice("skip", skip, ("inside", "outside"))
    kernel_size = check_kernel_size(kernel_size)
    cls = arguments.check_class(cls)
    names = [f"activation_{i + 1}" for i in range(len(filters) * (1 + blocks))]
    sigmas = iter(arguments.activations(activation, names))
    x = inputs = keras.Input(shape)
    for stage, width in enumerate(filters):
        strides = 2 if stage else 1
        x = convolution(width, kernel_size, f"stage_{stage + 1}", strides)(x)
        x = next(sigmas)(x)
        for block in range(blocks):
            place, sigma = f"stage_{stage + 1}_block_{block + 1}", next(sigmas)
            moved = convolution(width, kernel_size, place)(x)
            if skip == "inside":
                x = sigma(layers.Add()([x, moved]))
            else:
                change = convolution(width, kernel_size, f"{place}_out")
                x = layers.Add()([x, change(sigma(moved))])
    x = layers.GlobalAveragePooling2D(data_format="channels_last")(x)
    return cls(inputs, layers.Dense(outputs, name="output")(x), name=name)
