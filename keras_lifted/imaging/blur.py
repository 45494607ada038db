"""Blur with a given kernel."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
import numpy as np

from keras_lifted.imaging.convolution import Convolution
from keras_lifted.imaging.convolution import check_boundary
from keras_lifted.imaging.convolution import check_kernel


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Blur(Convolution):
    """`y = x ∗ kernel`, every channel convolved with one kernel.

    Args:
        kernel: array, `(rows, columns)`. It is used as it is: let it sum to 1 to keep
            the brightness. Its middle is the entry `(rows // 2, columns // 2)`.
        boundary: str. What lies outside the image: "symmetric" (its mirror image, edge
            pixels repeated), "reflect" (not repeated), "replicate" (the edge pixel goes
            on), "circular" (the other side), "zero", or "valid": only what needs no
            pixel from outside, so that images become smaller. Defaults to "symmetric".
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `kernel` is not a finite matrix, if `boundary` is unknown, or
            if images are smaller than the kernel reaches.

    Source: scipy.ndimage.convolve, whose "reflect" is "symmetric" here.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> blur = kl.imaging.Blur(np.full((1, 3), 1 / 3))
    >>> blur(np.array([0.0, 3.0, 0.0]).reshape(1, 1, 3, 1)).numpy().ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, kernel: Any, boundary: str = "symmetric", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel = check_kernel("Blur", "kernel", kernel).tolist()
        self.boundary = check_boundary("Blur", boundary)

    def kernels(self) -> list[np.ndarray]:
        return [np.array(self.kernel)]
