"""A convolution and its adjoint, with one kernel."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.checks import check_count, check_kernel_size, check_number
from keras_lifted.layers.precision import lifted_real, real_dtype

Tensor = Any

# The side of the image on which the norm is measured; the first power iterations.
SIDE, WARM = 32, 30


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class TiedConvolution(Saved, keras.layers.Layer):
    """The linear map `L` (`channels` to `filters`), and its adjoint `Lᵀ`.

    `L x` is a convolution that keeps height and width, zeros around the image, no
    bias; `⟨L x, u⟩ = ⟨x, Lᵀ u⟩`. With `scale=s` a call is multiplied by `s/‖L‖²`, as
    the steps of proximal algorithms are. `‖L‖` is the spectral norm by power iteration
    on images of 32 × 32 pixels: 30 iterations when the layer is built, and one more at
    each call in training. It is differentiated, as `‖L v‖` at the image `v` of the
    power iteration.

    Args:
        channels: int. The channels of `x`.
        filters: int. The channels of `L x`.
        kernel_size: int. The odd side of the kernel in pixels. Defaults to 3.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `x`, `(batch, height, width, channels)`, or `u`, `(batch, height,
            width, filters)`.
        adjoint: apply `Lᵀ`.
        scale: `s`, or None for the map alone.

    Raises:
        ValueError: If an argument is malformed, or the channels do not fit.

    Source: Wang, Benning & Repetti, arXiv 2408.08742.

    Example:

    >>> import keras, keras_lifted as kl
    >>> layer = kl.architectures.TiedConvolution(3, 8)
    >>> u = layer(keras.ops.ones((1, 16, 16, 3)))
    >>> tuple(layer(u, adjoint=True).shape)
    (1, 16, 16, 3)
    """

    def __init__(
        self, channels: int, filters: int, kernel_size: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.channels = check_count("channels", channels)
        self.filters = check_count("filters", filters)
        self.kernel_size = check_kernel_size(kernel_size)

    def build(self, input_shape: Any) -> None:
        side = self.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(side, side, self.channels, self.filters),
            initializer="glorot_uniform",
        )
        self.direction = self.add_weight(
            name="direction",
            shape=(1, SIDE, SIDE, self.channels),
            initializer=self._amplified,
            trainable=False,
            dtype=real_dtype(),
            autocast=False,
        )

    def call(
        self,
        inputs: Tensor,
        adjoint: bool = False,
        scale: float | None = None,
        training: bool = False,
    ) -> Tensor:
        kernel = ops.convert_to_tensor(self.kernel)
        x = _apply(kernel, inputs, adjoint)
        if scale is None:
            return x
        scale = check_number("scale", scale, lambda s: s > 0, "> 0")
        return x * ops.cast(scale / self._square(kernel, training), x.dtype)

    def norm(self) -> Tensor:
        """Return `‖L‖` as far as it is known, `()`."""
        return ops.sqrt(self._square(ops.convert_to_tensor(self.kernel), False))

    def _square(self, kernel: Tensor, training: bool) -> Tensor:
        """Return `‖L v‖²` at the direction `v` of length 1, `()`."""
        kernel = lifted_real(kernel)
        v = ops.stop_gradient(ops.convert_to_tensor(self.direction))
        if training:
            v = ops.stop_gradient(_iterate(ops.stop_gradient(kernel), v))
            self.direction.assign(v)
        return ops.maximum(ops.sum(ops.square(_apply(kernel, v, False))), 1e-12)

    def _amplified(self, shape: Any, dtype: Any = None) -> Tensor:
        """Return `direction` for the kernel as it starts."""
        kernel = ops.stop_gradient(lifted_real(self.kernel))
        v = keras.random.normal(shape, dtype=real_dtype(), seed=1)
        for _ in range(WARM):
            v = _iterate(kernel, v)
        return ops.cast(v, dtype or real_dtype())


def _iterate(kernel: Tensor, v: Tensor) -> Tensor:
    """Take one power iteration, `LᵀL v` at length 1; `v` where `L` is zero."""
    w = _apply(kernel, _apply(kernel, v, False), True)
    size = ops.sqrt(ops.sum(ops.square(w)))
    return ops.where(size > 1e-12, w / ops.maximum(size, 1e-12), v)


def _apply(kernel: Tensor, x: Tensor, adjoint: bool) -> Tensor:
    """Convolve; the adjoint's kernel is turned round, its channels exchanged."""
    if adjoint:
        for axis in (0, 1):  # one by one: Keras 3.8 takes no tuple
            kernel = ops.flip(kernel, axis=axis)
        kernel = ops.transpose(kernel, (0, 1, 3, 2))
    channels = kernel.shape[2]
    if x.shape[-1] != channels:
        raise ValueError(
            f"{'Lᵀ' if adjoint else 'L'} of a TiedConvolution takes {channels} "
            f"channels, the last axis; did you mean adjoint={not adjoint}? Received: "
            f"inputs of shape {tuple(x.shape)}"
        )
    return ops.conv(x, kernel, 1, "same", data_format="channels_last")
