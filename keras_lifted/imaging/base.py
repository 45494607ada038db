"""The interface of every degradation."""

from __future__ import annotations

import abc
from typing import Any

import keras
from keras import ops

from keras_lifted.arguments import arguments_of
from keras_lifted.backend import vector_jacobian
from keras_lifted.backend.dataset import in_pipeline
from keras_lifted.backend.dataset import is_foreign
from keras_lifted.layers.precision import as_floating

Tensor = Any


class Degradation(keras.layers.Layer, abc.ABC):
    """A layer that degrades images, `y = degrade(x)`.

    Images are `(batch, height, width, channels)`, in any unit. A degradation acts in
    training and inference alike. A subclass writes `degrade`; where that is linear in
    `x`, `adjoint` is its transpose, `⟨A x, y⟩ = ⟨x, Aᵀ y⟩`, by reverse mode. Its
    arguments are those of `keras.layers.Layer`.

    Attributes:
        linear: bool. Whether `degrade` is linear, so that it has an adjoint.
    """

    linear = True

    @abc.abstractmethod
    def degrade(self, x: Tensor) -> Tensor:
        """Return the degraded images of floating-point images `x`."""

    def input_shape_of(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the shape of the images that degrade to images of this shape.

        The least one, where several do.
        """
        return shape

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """Return the degraded images."""
        return self.degrade(self._images(inputs))

    def adjoint(self, y: Tensor) -> Tensor:
        """Return `Aᵀ y`, images of the shape that `degrade` takes.

        Args:
            y: tensor. Degraded images, `(batch, height, width, channels)`; the batch
                may be unknown.

        Raises:
            ValueError: If the degradation is not linear, or `y` are not images.
        """
        if not self.linear:
            raise ValueError(
                f"{type(self).__name__} is not linear, so it has no adjoint. "
                "Expected a linear degradation, such as GaussianBlur, Mask or "
                f"Downsample. Received: {type(self).__name__}."
            )
        if is_foreign(y):
            return in_pipeline(self.adjoint, y, self.input_shape_of(tuple(y.shape)))
        y = self._images(y)
        sides = self.input_shape_of(tuple(y.shape))[1:]
        zeros = ops.zeros((ops.shape(y)[0], *sides), y.dtype)
        return vector_jacobian(self.degrade, zeros, y)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the images: most degradations keep it."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        own = arguments_of(self)
        return {**super().get_config(), **own}

    def _images(self, x: Tensor) -> Tensor:
        if not isinstance(x, keras.KerasTensor):
            x = as_floating(x)
        if len(x.shape) != 4:
            raise ValueError(
                f"{type(self).__name__} takes images of shape (batch, height, "
                "width, channels); add the missing axes, e.g. image[None, ..., "
                f"None]. Received: shape {tuple(x.shape)}."
            )
        return x
