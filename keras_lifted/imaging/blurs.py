"""Blurs: every channel convolved with the same kernels."""

import abc
import math
from typing import Any, final

import keras
import numpy as np

from keras_lifted import checks
from keras_lifted.imaging.base import Degradation, Tensor
from keras_lifted.imaging.convolution import check_kernel, convolve

# Points per pixel that stand for the path of a motion.
_POINTS = 64

# Name of a boundary -> what it means.
_BOUNDARIES = {
    "symmetric": "edge pixels repeated",
    "reflect": "they are not",
    "replicate": "the edge goes on",
    "circular": "the other side",
    "zero": "black",
    "valid": "nothing: the result is smaller",
}


class Convolution(Degradation):
    """The interface of blurs, with a `boundary` that says what lies outside."""

    def __init__(self, boundary: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(boundary, str) or boundary not in _BOUNDARIES:
            known = ", ".join(f"'{n}' ({means})" for n, means in _BOUNDARIES.items())
            raise ValueError(
                f"`boundary` of {type(self).__name__} must be one of {known}. "
                f"Received: boundary={boundary!r}"
            )
        self.boundary = boundary

    @abc.abstractmethod
    def kernels(self) -> list[np.ndarray]:
        """Return the kernels, `(rows, columns)` each."""

    def degrade(self, x: Tensor) -> Tensor:
        for kernel in self.kernels():
            x = convolve(x, kernel, self.boundary)
        return x

    def input_shape_of(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return self._grown(shape, 1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self._grown(input_shape, -1)

    def _grown(self, shape: Any, sign: int) -> tuple[Any, ...]:
        """Return the shape on the other side: "valid" loses a kernel less one pixel."""
        batch, *sides, channels = shape
        if self.boundary == "valid":
            shapes = [kernel.shape for kernel in self.kernels()]
            lost = [sum(shape[axis] - 1 for shape in shapes) for axis in (0, 1)]
            sides = [s and s + sign * n for s, n in zip(sides, lost, strict=True)]
        return batch, *sides, channels


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
    >>> np.array(blur(np.array([0.0, 3.0, 0.0]).reshape(1, 1, 3, 1))).ravel().tolist()
    [1.0, 1.0, 1.0]
    """

    def __init__(self, kernel: Any, boundary: str = "symmetric", **kwargs: Any) -> None:
        super().__init__(boundary, **kwargs)
        self.kernel = check_kernel("Blur", "kernel", kernel).tolist()

    def kernels(self) -> list[np.ndarray]:
        return [np.array(self.kernel)]


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class GaussianBlur(Convolution):
    """`y = x ∗ g`, `g(t) ∝ exp(−t²/2σ²)` along each side, cut at `4σ`.

    Args:
        sigma: float. The standard deviation `σ > 0`, in pixels.
        boundary: str. As for `Blur`. Defaults to "symmetric".
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If `sigma` is not positive and finite, if `boundary` is unknown,
            or if images are smaller than the kernel reaches.

    Source: scipy.ndimage.gaussian_filter, with which it agrees.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.ones((1, 9, 9, 1), "float32")
    >>> bool(np.allclose(kl.imaging.GaussianBlur(1.5)(image), 1.0, atol=1e-5))
    True
    """

    def __init__(
        self, sigma: float, boundary: str = "symmetric", **kwargs: Any
    ) -> None:
        super().__init__(boundary, **kwargs)
        self.sigma = checks.positive("GaussianBlur", "sigma", sigma)

    def kernels(self) -> list[np.ndarray]:
        profile = gaussian(self.sigma, int(4.0 * self.sigma + 0.5))
        return [profile[:, None], profile[None, :]]


def gaussian(sigma: float, radius: int) -> np.ndarray:
    """Return `exp(−t²/2σ²)` at `t = −radius … radius`, scaled to the sum 1."""
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(profile / profile.sum())


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
    >>> tuple(kl.imaging.MotionBlur(5.0, angle=45.0)(image).shape)
    (1, 9, 9, 1)
    """

    def __init__(
        self,
        length: float,
        angle: float = 0.0,
        boundary: str = "symmetric",
        **kwargs: Any,
    ) -> None:
        super().__init__(boundary, **kwargs)
        self.length = checks.positive("MotionBlur", "length", length)
        self.angle = checks.check_number(
            "angle", angle, lambda _: True, "of degrees; pass 0.0", "MotionBlur"
        )

    def kernels(self) -> list[np.ndarray]:
        count = max(1, round(_POINTS * self.length))
        t = ((np.arange(count) + 0.5) / count - 0.5) * self.length
        radians = math.radians(self.angle)
        points = np.stack([-t * math.sin(radians), t * math.cos(radians)])
        reach = np.ceil(np.abs(points).max(axis=1) - 1e-9).astype(int)
        kernel = np.zeros(2 * reach + 1)
        base = np.floor(points).astype(int)
        rest = points - base
        for down, right in np.ndindex(2, 2):
            share = np.abs(1 - down - rest[0]) * np.abs(1 - right - rest[1])
            rows = np.clip(base[0] + down + reach[0], 0, 2 * reach[0])
            columns = np.clip(base[1] + right + reach[1], 0, 2 * reach[1])
            np.add.at(kernel, (rows, columns), share)
        return [kernel / kernel.sum()]
