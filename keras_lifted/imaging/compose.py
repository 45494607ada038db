"""Degradations one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import final

import keras

from keras_lifted.imaging.base import Degradation
from keras_lifted.imaging.base import Tensor


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
    >>> camera(np.ones((1, 8, 8, 1), "float32")).shape
    TensorShape([1, 4, 4, 1])
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

    def adjoint(self, y: Tensor) -> Tensor:
        for operator in reversed(self.operators):
            y = operator.adjoint(y)
        return y

    def input_shape_of(self, shape: tuple[Any, ...]) -> tuple[Any, ...]:
        for operator in reversed(self.operators):
            shape = operator.input_shape_of(shape)
        return shape

    def compute_output_shape(self, input_shape: Any) -> Any:
        for operator in self.operators:
            input_shape = operator.compute_output_shape(input_shape)
        return input_shape
