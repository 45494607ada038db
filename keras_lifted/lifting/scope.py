"""A lifting scope: while it is open, it answers for every activation."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras

from keras_lifted.backend import current_trace
from keras_lifted.layers.base import ProximalActivation, open_scope
from keras_lifted.layers.chain import Chain
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.hooks import hooked

Tensor = Any


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
