"""The convolution of images that builders repeat."""

from __future__ import annotations

from typing import Any

from keras import layers


def convolution(
    filters: int, kernel_size: int, name: str, strides: int = 1
) -> layers.Layer:
    """Return a zero-padded convolution that divides the size by `strides`."""
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        data_format="channels_last",
        name=name,
    )


def flatten() -> Any:
    """Flatten to `(batch, height · width · channels)`."""
    return layers.Flatten(data_format="channels_last")
