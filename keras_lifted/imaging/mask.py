"""Missing pixels."""

from __future__ import annotations

import random
from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops

from keras_lifted.imaging.base import Degradation
from keras_lifted.imaging.base import Tensor
from keras_lifted.layers import checks


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Mask(Degradation):
    """`y = m · x`, with `m` 0 at missing pixels (of all channels) and 1 elsewhere.

    Args:
        fraction: share of pixels that are missing, each by chance, in [0, 1].
        box: `(top, left, height, width)` in pixels, missing altogether; instead
            of `fraction`, or besides.
        resample: draw a new mask for each image at every call. Otherwise one mask
            serves all, and `Mask` is a linear operator with an adjoint.
        seed: of the mask; None for one that nobody knows, kept in the config.
        **kwargs: arguments of `keras.layers.Layer`.

    Raises:
        ValueError: if neither `fraction` nor `box` is given, if `fraction` is out of
            range or `box` is no box, or if the box does not lie in the images.

    Example:

    >>> import keras_lifted as kl
    >>> import numpy as np
    >>> image = np.ones((1, 3, 3, 1), "float32")
    >>> kl.imaging.Mask(box=(0, 0, 2, 3))(image).numpy().sum().item()
    3.0
    """

    def __init__(
        self,
        fraction: float | None = None,
        box: tuple[int, int, int, int] | None = None,
        resample: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if fraction is None and box is None:
            raise ValueError(
                "Mask needs `fraction`, the share of missing pixels, or `box`, "
                "(top, left, height, width). Received: neither."
            )
        self.fraction = fraction
        if fraction is not None:
            self.fraction = checks.number(
                "Mask",
                "fraction",
                fraction,
                lambda v: 0 <= v <= 1,
                "from 0 to 1",
                "it is the share of missing pixels",
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
        return x * ops.cast(self.mask(x), x.dtype)

    def mask(self, x: Tensor) -> Tensor:
        """The mask of images `x`, `(batch or 1, height, width, 1)`, in float32."""
        height, width = x.shape[1:3]
        kept: Any = np.ones((1, height, width, 1), "float32")
        if self.box is not None:
            top, left, high, wide = self.box
            if top + high > height or left + wide > width:
                raise ValueError(
                    "The box of Mask must lie within the images. Received: "
                    f"box={self.box} (top, left, height, width), images of shape "
                    f"{tuple(x.shape)}."
                )
            kept[:, top : top + high, left : left + wide] = 0.0
        if not self.fraction:
            return kept
        rows = ops.shape(x)[0] if self.resample else 1
        chance = keras.random.uniform(
            (rows, height, width, 1),
            dtype="float32",
            seed=self.seed_generator if self.resample else self.seed,
        )
        return kept * ops.cast(chance >= self.fraction, "float32")


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
