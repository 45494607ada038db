"""Lower resolution."""

from typing import Any, final

import keras
import numpy as np

from keras_lifted.checks import check_count
from keras_lifted.imaging.base import Degradation, Tensor
from keras_lifted.imaging.convolution import check_kernel, convolve, convolve_sides, pad


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Downsample(Degradation):
    """One pixel of each square of `factor × factor` pixels.

    Rows and columns that fill no square, at the bottom and at the right, are dropped.

    Args:
        factor: int. It is positive, and at most the height and the width.
        filter: str or array. What a pixel is made of: "mean", of the square; "bicubic",
            the cubic kernel of Keys (a = −1/2) widened by `factor`, centred at the
            square, edge pixels repeated; or an array `(rows, columns)`, with which
            images are convolved as by `Blur` before the first pixel of each square is
            taken. Defaults to "mean".
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `factor` is not a positive integer, `filter` is unknown, or
            the images are smaller than a square.

    Source: skimage.transform.downscale_local_mean; Keys, "Cubic convolution
    interpolation for digital image processing", 1981, widened as in MATLAB's imresize.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.arange(6.0, dtype="float32").reshape(1, 2, 3, 1)
    >>> np.array(kl.imaging.Downsample(2)(image)).ravel().tolist()
    [2.0]
    """

    def __init__(self, factor: int, filter: Any = "mean", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = check_count("factor", factor, "of Downsample")
        if not isinstance(filter, str):
            filter = check_kernel("Downsample", "filter", filter).tolist()
        elif filter not in ("mean", "bicubic"):
            raise ValueError(
                "`filter` of Downsample must be 'mean', 'bicubic' or a matrix. "
                f"Received: filter={filter!r}"
            )
        self.filter = filter

    def degrade(self, x: Tensor) -> Tensor:
        s = self.factor
        if any(side is not None and side < s for side in x.shape[1:3]):
            raise ValueError(
                "`factor` of Downsample must be at most height and width. Received: "
                f"factor={s}, images of shape {tuple(x.shape)}."
            )
        rows, columns = (side and side // s * s for side in x.shape[1:3])
        if self.filter == "mean":
            x = convolve_sides(x, np.full(s, 1.0 / s), "valid")
        elif self.filter == "bicubic":
            before, profile = _bicubic(s)
            after = len(profile) - before - s
            x = pad(x, [(before, after)] * 2, "symmetric")
            x = convolve_sides(x, profile, "valid")
        else:
            x = convolve(x, np.array(self.filter), "symmetric")
        return x[:, :rows:s, :columns:s]

    def input_shape_of(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        batch, *sides, channels = shape
        return batch, *(side and side * self.factor for side in sides), channels

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *sides, channels = input_shape
        return batch, *(side and side // self.factor for side in sides), channels


def _bicubic(s: int) -> tuple[int, np.ndarray]:
    """Return how far the kernel begins before a square, and its entries."""
    centre = 0.5 * (s - 1)
    before = int(np.floor(2 * s - centre))
    t = np.abs(np.arange(-before, s + before) - centre) / s
    near = 1.5 * t**3 - 2.5 * t**2 + 1.0
    far = -0.5 * t**3 + 2.5 * t**2 - 4.0 * t + 2.0
    profile = np.where(t <= 1, near, np.where(t < 2, far, 0.0))
    return before, profile / profile.sum()
