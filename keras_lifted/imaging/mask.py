"""Missing pixels."""

import random
from typing import Any, final

import keras
import numpy as np
from keras import ops

from keras_lifted import checks
from keras_lifted.checks import check_array, check_number
from keras_lifted.imaging.base import Degradation, Tensor


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Mask(Degradation):
    """`y = m · x`, with `m = 0` at missing pixels (of all channels) and 1 elsewhere.

    Args:
        fraction: float. The share of pixels that are missing, each by chance, in [0,
            1]. Defaults to None.
        box: tuple. `(top, left, height, width)` in pixels, missing altogether; instead
            of `fraction`, or besides. Defaults to None.
        mask: array. A mask of one's own, instead or besides: `(height, width)`,
            `(height, width, channels)`, or `(batch, height, width, channels)` with one
            mask for each image; a single image is then masked by all. Entries multiply
            pixels, so they may lie between 0 and 1. Defaults to None.
        resample: bool. Whether every call draws a new mask for each image. Otherwise
            one mask serves all, and `Mask` is a linear operator with an adjoint.
            Defaults to False.
        seed: int. The seed of the mask; None for one at random, which the config keeps.
            Defaults to None.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If none of `fraction`, `box` and `mask` is given, if one of them
            is malformed, or if box or mask do not fit the images.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> image = np.ones((1, 3, 3, 1), "float32")
    >>> np.array(kl.imaging.Mask(box=(0, 0, 2, 3))(image)).sum().item()
    3.0
    """

    def __init__(
        self,
        fraction: float | None = None,
        box: tuple[int, int, int, int] | None = None,
        resample: bool = False,
        seed: int | None = None,
        mask: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shape: Any = getattr(fraction, "shape", None)
        if isinstance(fraction, (tuple, list)) or shape:  # Mask(mask)
            fraction, mask = None, fraction
        if fraction is None and box is None and mask is None:
            raise ValueError(
                "Mask needs `fraction`, the share of missing pixels, `box`, (top, "
                "left, height, width), or `mask`, an array. Received: none of them."
            )
        self.mask = None if mask is None else _checked_mask(mask).tolist()
        self.fraction = fraction
        if fraction is not None:
            expected = "from 0 to 1; it is the share of missing pixels"
            self.fraction = check_number(
                "fraction", fraction, lambda v: 0 <= v <= 1, expected, "Mask"
            )
        self.box = None if box is None else _checked_box(box)
        self.resample = checks.flag("Mask", "resample", resample)
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether one mask serves all images."""
        return not self.resample or not self.fraction

    def degrade(self, x: Tensor) -> Tensor:
        height, width, channels = x.shape[1:]
        kept: Any = np.ones((1, height, width, 1), "float32")
        if self.mask is not None:
            kept = np.array(self.mask, "float32")
            rows = x.shape[0] if len(kept) > 1 else 1
            fits = rows in (None, 1, len(kept)) and kept.shape[-1] in (1, channels)
            if kept.shape[1:3] != (height, width) or not fits:
                raise ValueError(
                    "`mask` of Mask must have the height and width of the images, "
                    "their channels or 1, and one mask or one for each image. "
                    f"Received: a mask of shape {kept.shape}, images of shape "
                    f"{tuple(x.shape)}."
                )
        if self.box is not None:
            top, left, high, wide = self.box
            if top + high > height or left + wide > width:
                raise ValueError(
                    "The box of Mask must lie within the images. Received: "
                    f"box={self.box} (top, left, height, width), images of shape "
                    f"{tuple(x.shape)}."
                )
            kept[:, top : top + high, left : left + wide] = 0.0
        if self.fraction and self.resample:
            shape = ops.shape(x)[0], height, width, 1
            chance = keras.random.uniform(
                shape, dtype="float32", seed=self.seed_generator
            )
            kept = kept * ops.cast(chance >= self.fraction, "float32")
        elif self.fraction:
            # From NumPy: TensorFlow draws other numbers from a seed once it compiles.
            chance = np.random.default_rng(self.seed).random((1, height, width, 1))
            kept = kept * (chance >= self.fraction)
        return x * ops.cast(kept, x.dtype)


def _checked_mask(mask: Any) -> np.ndarray:
    """Return a mask as `(images, height, width, channels)`."""
    array = check_array("mask", mask, "float32", "Mask")
    if array.ndim not in (2, 3, 4) or not np.isfinite(array).all():
        raise ValueError(
            "`mask` of Mask must be a finite array (height, width), (height, width, "
            "channels) or (batch, height, width, channels). Received: shape "
            f"{array.shape}."
        )
    if array.ndim == 2:
        array = array[..., None]
    return array if array.ndim == 4 else array[None]


def _checked_box(box: Any) -> tuple[int, int, int, int]:
    try:
        top, left, height, width = (int(side) for side in box)
        good = min(top, left) >= 0 and min(height, width) > 0
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(
            "`box` of Mask must be (top, left, height, width) in pixels, with "
            f"positive sides. Received: box={box!r}"
        )
    return top, left, height, width
