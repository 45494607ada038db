"""Scopes around one call of a model: of its activations, and of its variables."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
from keras import ops

from keras_lifted.backend import STATEFUL, current_trace
from keras_lifted.layers.base import ProximalActivation, open_scope
from keras_lifted.layers.chain import Chain
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.hooks import hooked

Tensor = Any
# Variables and the values that a call assigned to them.
Updates = list[tuple[Any, Tensor]]


@dataclasses.dataclass(frozen=True)
class Call:
    """One application of an activation during one call of the model.

    `key` is the block's name, `name:1`, … for a shared layer's later calls; `index` its
    place among the blocks; `function` what the layer applies outside a scope. A stack,
    whose blocks are lifted together, has its weights in `chain`, and an answer is given
    its input `u_0` in the place of `z`.
    """

    key: str
    index: int
    activation: ProximalActivation
    function: Callable[[Tensor], Tensor]
    chain: Chain | None = None


Answer = Callable[[Call, Tensor], Tensor]


class LiftingScope(contextlib.ExitStack):
    """Context in which `answer(call, z)` replaces `σ(z)` at every block.

    Activations of a single number or within another trace (a branch, a loop, a
    checkpoint), whose tensors may not leave it, are not asked about: they stay an
    ordinary part of the block around them. `elsewhere` takes their blocks' names.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        answer: Answer,
        elsewhere: set[str] | None = None,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.answer = answer
        self.elsewhere = set() if elsewhere is None else elsewhere
        self._places = {id(block.layer): i for i, block in enumerate(blocks)}
        self._calls: dict[str, int] = {}
        self._trace: Any = None

    def ask(
        self,
        layer: Any,
        z: Tensor,
        function: Callable[[Tensor], Tensor],
        chain: Chain | None = None,
    ) -> Tensor:
        """Return what `layer` returns in the place of `function(z)`."""
        index = self._places.get(id(layer))
        if index is None:
            return function(z)
        block = self.blocks[index]
        z = z.value if isinstance(z, keras.Variable) else z
        if not len(z.shape) or current_trace() != self._trace:
            self.elsewhere.add(block.name)
            return function(z)
        count = self._calls.get(block.name, 0)
        self._calls[block.name] = count + 1
        key = f"{block.name}:{count}" if count else block.name
        return self.answer(Call(key, index, block.activation, function, chain), z)

    def __enter__(self) -> Self:
        self._trace = current_trace()
        with contextlib.ExitStack() as held:  # undone if a layer cannot be held
            for block in self.blocks:
                if block.hook:
                    held.enter_context(hooked(block.layer, block.hook))
            held.callback(open_scope.reset, open_scope.set(self))
            self.push(held.pop_all())
        return self


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
