"""An activation that need not be a proximal map, for penalties that ask for none."""

import functools
from collections.abc import Callable
from typing import Any
from typing import final

import keras

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.precision import Tensor


@final
class AnyActivation(ProximalActivation):
    """`σ` of a function or a layer, without potential and conjugate.

    Args:
        function: of a tensor; a Keras activation layer is called as such.
    """

    separable = False

    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        if isinstance(function, keras.layers.Layer):  # whose `call` may be hooked
            function = functools.partial(type(function).call, function)
        self._function = function

    def sigma(self, z: Tensor, *parameters: Tensor) -> Tensor:
        return self._function(z)

    def _none(self, *args: Any, **keywords: Any) -> Tensor:
        raise NotImplementedError("What is no proximal map has a value only.")

    conjugate_terms = potential_terms = scaled_prox = _none
