"""Convolution of images with a kernel, with a choice of boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

Tensor = Any

# Name of a boundary -> mode of `keras.ops.pad`.
_PAD = {"symmetric": "symmetric", "reflect": "reflect", "zero": "constant"}


def convolve(x: Tensor, kernel: np.ndarray, boundary: str) -> Tensor:
    """`x ∗ kernel` of each channel, in the shape of `x`.

    Args:
        x: images, `(batch, height, width, channels)`.
        kernel: `(rows, columns)`, both odd; its middle entry keeps a pixel.
        boundary: see `check_boundary`.

    Raises:
        ValueError: if the images are too small for the kernel.
    """
    reach = [size // 2 for size in kernel.shape]
    for axis, name in ((0, "height"), (1, "width")):
        size = x.shape[1 + axis]
        most = (size or 0) - (boundary == "reflect")
        if size is not None and boundary != "zero" and reach[axis] > most:
            raise ValueError(
                f"A kernel of shape {kernel.shape} reaches {reach[axis]} pixels past "
                f"the boundary, but the {name} of the images is {size}. Use "
                "boundary='zero', a smaller kernel, or larger images. Received: "
                f"images of shape {tuple(x.shape)}, boundary={boundary!r}."
            )
    widths = [(0, 0), (reach[0],) * 2, (reach[1],) * 2, (0, 0)]
    if max(reach):
        x = ops.pad(x, widths, mode=_PAD[boundary])
    # `depthwise_conv` correlates: turned round, it convolves.
    turned = np.repeat(kernel[::-1, ::-1, None, None], x.shape[-1], axis=2)
    return ops.depthwise_conv(
        x,
        ops.convert_to_tensor(turned, dtype=x.dtype),
        strides=1,
        padding="valid",
        data_format="channels_last",
    )


def check_boundary(owner: str, boundary: Any) -> str:
    """`boundary`, if it is the name of one.

    Raises:
        ValueError: otherwise.
    """
    if isinstance(boundary, str) and boundary in _PAD:
        return boundary
    raise ValueError(
        f"`boundary` of {owner} must be 'symmetric' (edge pixels repeated), "
        "'reflect' (they are not) or 'zero'. "
        f"Received: boundary={boundary!r}"
    )
