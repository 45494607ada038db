"""An activation that need not be a proximal map, for penalties that ask for none."""

from __future__ import annotations

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

    def conjugate_terms(self, z: Tensor, *parameters: Tensor) -> Tensor:
        raise NotImplementedError(_NONE)

    def potential_terms(self, x: Tensor, *parameters: Tensor) -> Tensor:
        raise NotImplementedError(_NONE)

    def scaled_prox(self, v: Tensor, step: Tensor, *parameters: Tensor) -> Tensor:
        raise NotImplementedError(_NONE)


_NONE = "An activation that is no proximal map has a value only."
