"""What one call of a model assigns to variables, kept to be committed later."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.backend import STATEFUL, current_trace

Tensor = Any
# Variables and the values that a call assigned to them.
Updates = list[tuple[Any, Tensor]]


class StateScope(keras.StatelessScope):
    """Keras's scope, which also knows the variables that were assigned.

    The values of the `trainable` variables are given. Those that a layer assigns in its
    `call` (as SpectralNormalization does) are differentiated at the new value, as in
    Keras's TensorFlow step; Keras's JAX step drops what is assigned to them, and so
    does this.
    """

    def __init__(
        self, trainable: Sequence[Any], values: Sequence[Tensor], others: Updates
    ) -> None:
        given = list(zip(trainable, values, strict=True))
        super().__init__([*given, *others], collect_losses=True)
        self._given = {id(variable): value for variable, value in given}
        self._assigned: dict[int, Any] = {}
        self._trace = current_trace()

    def add_update(self, update: tuple[Any, Tensor]) -> None:
        """Note the variable; Keras calls this where one is assigned."""
        variable, value = update
        if STATEFUL and current_trace() != self._trace:
            variable.value.assign(value)  # in a branch or loop, which it may not leave
            return
        given = self._given.get(id(variable))
        if given is not None and STATEFUL:
            value = ops.stop_gradient(value) + (given - ops.stop_gradient(given))
        if given is None or STATEFUL:
            self._assigned[id(variable)] = variable
        super().add_update((variable, value))

    @property
    def assigned(self) -> list[Any]:
        """The variables that were assigned."""
        return list(self._assigned.values())
