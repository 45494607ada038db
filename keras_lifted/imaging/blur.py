"""Blur with a given kernel."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
import numpy as np

from keras_lifted.imaging.base import Degradation
from keras_lifted.imaging.base import Tensor
from keras_lifted.imaging.convolution import check_boundary
from keras_lifted.imaging.convolution import convolve


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Blur(Degradation):
    """`y = x ∗ kernel`, every channel convolved with one kernel.

    Args:
        kernel: array `(rows, columns)`, both odd. It is used as it is: let it sum
            to 1 to keep the brightness.
        boundary: what lies outside the image: "symmetric" (its mirror image, edge
            pixels repeated), "reflect" (not repeated) or "zero".
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if `kernel` is no finite matrix with odd sides, if `boundary` is
            unknown, or if images are smaller than the kernel reaches.

    Source: scipy.ndimage.convolve, whose "reflect" is "symmetric" here.

    Example:

    >>> import keras_lifted as kl
    >>> import numpy as np
    >>> blur = kl.imaging.Blur(np.full((1, 3), 1 / 3))
    >>> blur(np.array([0.0, 3.0, 0.0]).reshape(1, 1, 3, 1)).numpy().ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, kernel: Any, boundary: str = "symmetric", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        matrix = np.asarray(kernel, dtype="float64")
        odd = matrix.ndim == 2 and all(size % 2 for size in matrix.shape)
        if not odd or not np.isfinite(matrix).all():
            raise ValueError(
                "`kernel` of Blur must be a finite matrix (rows, columns) with odd "
                "sides, so that it has a middle; pad it with zeros. Received: "
                f"an array of shape {matrix.shape}."
            )
        self.kernel = matrix.tolist()
        self.boundary = check_boundary("Blur", boundary)

    def degrade(self, x: Tensor) -> Tensor:
        return convolve(x, np.array(self.kernel), self.boundary)
