"""The long skip of a U-Net."""

from __future__ import annotations

from typing import Any
from typing import final

import keras
from keras import layers


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Skip(layers.Concatenate):
    """Images of one size, `(batch, height, width, channels)`, side by side in channels.

    Args:
        multiple: int. Of what an image's sides must be multiples, for the error.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If heights or widths differ.
    """

    def __init__(self, multiple: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.multiple = multiple

    def call(self, inputs: Any) -> Any:
        """Return the images joined, once their sizes are known to be equal."""
        sizes = [tuple(each.shape[1:3]) for each in inputs]
        for one, other in zip(*sizes, strict=True):
            if None not in (one, other) and one != other:
                received = " and ".join(f"{h}×{w}" for h, w in sizes)
                raise ValueError(
                    f"Expected sides that are multiples of {self.multiple}. "
                    f"Received at {self.name}: {received}"
                )
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "multiple": self.multiple}
