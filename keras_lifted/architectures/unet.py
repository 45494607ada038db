"""The U-Net: from fine to coarse and back, with long skips."""

from collections.abc import Sequence
from typing import Any
from typing import final

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.architectures.arguments import convolution
from keras_lifted.checks import check_count
from keras_lifted.checks import check_kernel_size
from keras_lifted.models.lifted_model import LiftedModel


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
        x = convolution(width, kernel_size, f"conv_down_{i + 1}", 2 if i else 1)(x)
        x = next(sigmas)(x)
    for i in reversed(range(len(fine))):
        x = layers.UpSampling2D(data_format="channels_last")(x)
        x = Skip(2 ** len(fine), name=f"skip_{i + 1}")([x, fine[i]])
        x = next(sigmas)(convolution(filters[i], kernel_size, f"conv_up_{i + 1}")(x))
    return cls(inputs, convolution(outputs, 1, "output")(x), name=name)


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
class Skip(layers.Concatenate):
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
        """Return the images joined, once their sizes are known to be equal."""
        sizes = [tuple(each.shape[1:3]) for each in inputs]
        for one, other in zip(*sizes, strict=True):
            if None not in (one, other) and one != other:
                received = " and ".join(f"{h}×{w}" for h, w in sizes)
                raise ValueError(
                    f"Expected sides that are multiples of {self.multiple}. "
                    f"Received at {self.name}: {received}"
                )
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple}
