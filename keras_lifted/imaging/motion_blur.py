"""Motion blur."""

from __future__ import annotations

import math
from typing import Any
from typing import final

import keras
import numpy as np

from keras_lifted.imaging.convolution import Convolution
from keras_lifted.imaging.convolution import check_boundary
from keras_lifted.layers import checks

# Points per pixel that stand for the path.
_POINTS = 64


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class MotionBlur(Convolution):
    """The mean of an image moved along a straight path.

    `y = (1/ℓ) ∫ x(· − t (cos φ, sin φ)) dt` over `|t| ≤ ℓ/2`; points between pixels
    are shared by the four around them (bilinear).

    Args:
        length: float. `ℓ > 0`, the length of the path in pixels.
        angle: float. `φ` in degrees, from the width axis towards the top. Defaults to
            0.0.
        boundary: str. As for `Blur`. Defaults to "symmetric".
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `length` is not positive or `angle` not finite, if `boundary`
            is unknown, or if images are smaller than the path reaches.

    Source: the usual linear motion kernel, e.g. MATLAB's fspecial("motion").

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.eye(9, dtype="float32")[None, :, :, None]
    >>> kl.imaging.MotionBlur(5.0, angle=45.0)(image).shape
    TensorShape([1, 9, 9, 1])
    """

    def __init__(
        self,
        length: float,
        angle: float = 0.0,
        boundary: str = "symmetric",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.length = checks.positive("MotionBlur", "length", length)
        self.angle = checks.number(
            "MotionBlur", "angle", angle, lambda _: True, "of degrees", "pass 0.0"
        )
        self.boundary = check_boundary("MotionBlur", boundary)

    def kernels(self) -> list[np.ndarray]:
        return [path_kernel(self.length, self.angle)]


def path_kernel(length: float, angle: float) -> np.ndarray:
    """Return the kernel of a straight path through its middle, of the sum 1."""
    count = max(1, round(_POINTS * length))
    t = (np.arange(count) + 0.5) / count * length - 0.5 * length
    radians = math.radians(angle)
    points = np.stack([-t * math.sin(radians), t * math.cos(radians)])
    reach = np.ceil(np.abs(points).max(axis=1) - 1e-9).astype(int)
    kernel = np.zeros(2 * reach + 1)
    base = np.floor(points).astype(int)
    rest = points - base
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - down - rest[0]) * np.abs(1 - right - rest[1])
            rows = np.clip(base[0] + down + reach[0], 0, 2 * reach[0])
            columns = np.clip(base[1] + right + reach[1], 0, 2 * reach[1])
            np.add.at(kernel, (rows, columns), share)
    return np.asarray(kernel / kernel.sum())
