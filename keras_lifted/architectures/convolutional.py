"""Networks of convolutions."""

from collections.abc import Sequence
from typing import Any, final

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.arguments import Saved
from keras_lifted.checks import check_choice, check_count, check_kernel_size
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
        x = _convolution(width, kernel_size, f"conv_{i + 1}", strides)(x)
        x = next(sigmas)(x)
    x = layers.Flatten(data_format="channels_last")(x)
    for i, width in enumerate(units):
        x = next(sigmas)(layers.Dense(width, name=f"dense_{i + 1}")(x))
    return cls(inputs, layers.Dense(outputs, name="output")(x), name=name)


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
    skip = check_choice("skip", skip, ("inside", "outside"))
    kernel_size = check_kernel_size(kernel_size)
    cls = arguments.check_class(cls)
    names = [f"activation_{i + 1}" for i in range(len(filters) * (1 + blocks))]
    sigmas = iter(arguments.activations(activation, names))
    x = inputs = keras.Input(shape)
    for stage, width in enumerate(filters):
        strides = 2 if stage else 1
        x = _convolution(width, kernel_size, f"stage_{stage + 1}", strides)(x)
        x = next(sigmas)(x)
        for block in range(blocks):
            place, sigma = f"stage_{stage + 1}_block_{block + 1}", next(sigmas)
            moved = _convolution(width, kernel_size, place)(x)
            if skip == "inside":
                x = sigma(layers.Add()([x, moved]))
            else:
                change = _convolution(width, kernel_size, f"{place}_out")
                x = layers.Add()([x, change(sigma(moved))])
    x = layers.GlobalAveragePooling2D(data_format="channels_last")(x)
    return cls(inputs, layers.Dense(outputs, name="output")(x), name=name)


def unet(
    input_shape: Sequence[int | None],
    filters: Sequence[int] = (16, 32, 64),
    outputs: int | None = None,
    activation: Any = "relu",
    kernel_size: int = 3,
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Map images to images, through levels of which each has half the size.

    Down, `x_l = σ(K_l ∗ x_{l−1} + b_l)`, with strides of 2 from the second level on;
    up, `y_l = σ(V_l ∗ [↑y_{l+1}, x_l] + c_l)`, where `↑` repeats pixels and `x_l` is
    the long skip. The output is one affine map of `y_1`. The lifted variable `x_l`
    has two children, its neighbour and the other end of the skip.

    Args:
        input_shape: tuple. The shape of one sample, `(height, width, channels)`; height
            and width are multiples of `2^(levels − 1)`, or None where they vary.
        filters: sequence of int. The channels of the levels, from fine to coarse.
            Defaults to (16, 32, 64).
        outputs: int. The channels of the output; None for those of the input. Defaults
            to None.
        activation: activation or sequence. As for `mlp`; a sequence has one for each
            level on the way down, then one for each but the coarsest on the way up.
            Defaults to "relu".
        kernel_size: int. The odd side of the kernels in pixels. Defaults to 3.
        cls: class. As for `mlp`. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "down_1", …, "up_1".

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Ronneberger, Fischer & Brox, arXiv 1505.04597, with strides for pooling.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.unet((32, 32, 3), (8, 16))
    >>> [block.name for block in model.lifted_blocks]
    ['down_1', 'down_2', 'up_1']
    >>> model.output_shape
    (None, 32, 32, 3)
    """
    shape = arguments.check_shape(input_shape, 3, free=True)
    filters = arguments.check_widths("filters", filters, least=2)
    outputs = check_count("outputs", shape[-1] if outputs is None else outputs)
    kernel_size = check_kernel_size(kernel_size)
    cls = arguments.check_class(cls)
    _check_sizes(shape, len(filters))
    levels = range(1, len(filters) + 1)
    names = [f"down_{i}" for i in levels] + [f"up_{i}" for i in levels[-2::-1]]
    sigmas = iter(arguments.activations(activation, names))
    x = inputs = keras.Input(shape)
    fine = []
    for i, width in enumerate(filters):
        if i:
            fine.append(x)
        x = _convolution(width, kernel_size, f"conv_down_{i + 1}", 2 if i else 1)(x)
        x = next(sigmas)(x)
    for i in reversed(range(len(fine))):
        x = layers.UpSampling2D(data_format="channels_last")(x)
        x = Skip(2 ** len(fine), name=f"skip_{i + 1}")([x, fine[i]])
        x = next(sigmas)(_convolution(filters[i], kernel_size, f"conv_up_{i + 1}")(x))
    return cls(inputs, _convolution(outputs, 1, "output")(x), name=name)


def _check_sizes(shape: tuple[Any, ...], levels: int) -> None:
    factor = 2 ** (levels - 1)
    for side, size in zip(("height", "width"), shape, strict=False):
        if size is not None and size % factor:
            raise ValueError(
                f"{levels} levels halve an image {levels - 1} times, so its {side} "
                f"must be a multiple of {factor}; pad the images, or pass fewer "
                f"`filters`. Received: input_shape={shape!r}"
            )


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Skip(Saved, layers.Concatenate):
    """Images of one size, `(batch, height, width, channels)`, side by side in channels.

    Args:
        multiple: int. Of what an image's sides must be multiples, for the error.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If heights or widths differ.
    """

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs: Any) -> Any:
        sizes = [tuple(each.shape[1:3]) for each in inputs]
        for one, other in zip(*sizes, strict=True):
            if None not in (one, other) and one != other:
                received = " and ".join(f"{h}×{w}" for h, w in sizes)
                raise ValueError(
                    f"Expected sides that are multiples of {self.multiple}. "
                    f"Received at {self.name}: {received}"
                )
        return super().call(inputs)


def _convolution(
    filters: int, kernel_size: int, name: str, strides: int = 1
) -> layers.Layer:
    """Return a zero-padded convolution that divides the size by `strides`."""
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        data_format="channels_last",
        name=name,
    )
