"""The interface of every degradation, several in a row, and pairs made by them."""

import abc
from collections.abc import Sequence
from typing import Any, final

import keras
from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.backend import vector_jacobian
from keras_lifted.backend.dataset import in_pipeline, is_foreign, map_images
from keras_lifted.layers.precision import as_floating

Tensor = Any


class Degradation(Saved, keras.layers.Layer, abc.ABC):
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

    def _images(self, x: Tensor) -> Tensor:
        x = as_floating(x)
        if len(x.shape) != 4:
            raise ValueError(
                f"{type(self).__name__} takes images of shape (batch, height, "
                "width, channels); add the missing axes, e.g. image[None, ..., "
                f"None]. Received: shape {tuple(x.shape)}."
            )
        return x


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Compose(Degradation):
    """`y = A_n(… A_2(A_1(x)))`; its adjoint is `A_1ᵀ A_2ᵀ … A_nᵀ y`.

    Args:
        operators: sequence of degradations. They are applied in this order.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: If there is none, or one of them is not a degradation.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> camera = kl.imaging.Compose(
    ...     [kl.imaging.GaussianBlur(1.0), kl.imaging.Downsample(2)]
    ... )
    >>> tuple(camera(np.ones((1, 8, 8, 1), "float32")).shape)
    (1, 4, 4, 1)
    """

    def __init__(self, operators: Sequence[Degradation], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.operators = list(operators)
        wrong = [op for op in self.operators if not isinstance(op, Degradation)]
        if wrong or not self.operators:
            raise ValueError(
                "Compose takes a list of one or more keras_lifted.imaging "
                f"degradations. Received: {wrong or self.operators!r}"
            )

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """Whether all of them are linear."""
        return all(operator.linear for operator in self.operators)

    def degrade(self, x: Tensor) -> Tensor:
        for operator in self.operators:
            x = operator.degrade(x)
        return x

    def input_shape_of(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        for operator in reversed(self.operators):
            shape = operator.input_shape_of(shape)
        return shape

    def compute_output_shape(self, input_shape: Any) -> Any:
        for operator in self.operators:
            input_shape = operator.compute_output_shape(input_shape)
        return input_shape


def degrade(dataset: Any, operator: Degradation) -> Any:
    """Return a data set of pairs `(degraded, clean)`, as `fit` takes them.

    Noise and resampled masks are drawn again in every epoch; call `.cache()` on the
    result to draw them once.

    Args:
        dataset: dataset. A `tf.data.Dataset` of images `(h, w, c)` or batches of them,
            of pairs that begin with one, or of dicts with the key "image". Integers
            become floats of the same values: scale them first.
        operator: degradation. What is done to the images.

    Raises:
        ValueError: If `operator` is not a degradation or `dataset` has no `map`.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> import tensorflow as tf
    >>> images = tf.data.Dataset.from_tensor_slices(np.ones((8, 6, 6, 1), "float32"))
    >>> pairs = kl.imaging.degrade(images.batch(4), kl.imaging.Downsample(2))
    >>> [part.shape for part in next(iter(pairs))]
    [TensorShape([4, 3, 3, 1]), TensorShape([4, 6, 6, 1])]
    """
    if not isinstance(operator, Degradation):
        raise ValueError(
            "`operator` must be a keras_lifted.imaging degradation, such as "
            f"GaussianBlur(1.5). Received: {operator!r}"
        )
    if not hasattr(dataset, "map"):
        raise ValueError(
            "`dataset` must be a tf.data.Dataset; for arrays call the operator "
            f"itself, operator(images). Received: {type(dataset).__name__}."
        )
    return map_images(dataset, _image_of, operator)


def _image_of(element: Any) -> Tensor:
    if isinstance(element, dict):
        return element["image"]
    return element[0] if isinstance(element, (tuple, list)) else element
