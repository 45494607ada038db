"""A lifting scope: while it is open, it answers for every activation."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import keras

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.chain import Chain
from keras_lifted.layers.context import current_scope
from keras_lifted.layers.context import pop_scope
from keras_lifted.layers.context import push_scope
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.stack import ProximalStack
from keras_lifted.lifting.blocks import Block

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Call:
    """One application of an activation during one call of the model.

    Attributes:
        key: the block's name; a shared layer's later calls are `name:1`, ….
        index: the block's place in the list of blocks.
        activation: the proximal activation.
        plain: the function that the layer applies outside a scope.
        chain: of a stack, whose blocks are lifted together: its weights. An
            answer is then given its input `u_0` in the place of `z`.
    """

    key: str
    index: int
    activation: ProximalActivation
    plain: Callable[[Tensor], Tensor]
    chain: Chain | None = None


Answer = Callable[[Call, Tensor], Tensor]


class LiftingScope:
    """Context in which `answer(call, z)` replaces `σ(z)` at every block.

    Activations fused into layers are met through the public attribute that
    `Block.hook` names; it is put back when the scope closes.
    """

    def __init__(self, blocks: Sequence[Block], answer: Answer) -> None:
        self.blocks = blocks
        self.answer = answer
        self._own = {id(b.layer): (i, b) for i, b in enumerate(blocks) if not b.hook}
        self._calls: dict[str, int] = {}
        self._originals: list[tuple[Any, str, Any]] = []

    def activate(self, activation: ProximalActivation, z: Tensor, name: str) -> Tensor:
        """Answer for a `ProximalActivation` layer."""
        if id(activation) not in self._own:
            raise ValueError(
                f"The activation '{name}' was called, but it is not among the "
                "layers of the model. Assign it to an attribute of the model "
                "or of the layer that calls it, so that Keras tracks it."
            )
        index, block = self._own[id(activation)]

        def plain(z: Tensor) -> Tensor:
            return activation.sigma(z, *activation.parameters())

        return self._ask(index, block, z, plain)

    def activate_stack(self, stack: ProximalStack, chain: Chain, u: Tensor) -> Tensor:
        """Answer for a stack; one that is not among the blocks is not lifted."""

        def plain(u: Tensor) -> Tensor:
            return chain.run(u, ProximalMap.of(stack.activation))

        if id(stack) not in self._own:
            return plain(u)
        return self._ask(*self._own[id(stack)], u, plain, chain)

    def _ask(
        self,
        index: int,
        block: Block,
        z: Tensor,
        plain: Callable[..., Tensor],
        chain: Chain | None = None,
    ) -> Tensor:
        count = self._calls.get(block.name, 0)
        self._calls[block.name] = count + 1
        key = f"{block.name}:{count}" if count else block.name
        return self.answer(Call(key, index, block.activation, plain, chain), z)

    def __enter__(self) -> LiftingScope:
        for index, block in enumerate(self.blocks):
            if block.hook:
                original = getattr(block.layer, block.hook)
                self._originals.append((block.layer, block.hook, original))
                setattr(block.layer, block.hook, _hook(index, block, original))
        push_scope(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pop_scope()
        while self._originals:
            layer, hook, original = self._originals.pop()
            if hook == "call":
                delattr(layer, hook)
            else:
                setattr(layer, hook, original)


def call_in_scope(
    model: keras.Model, x: Any, blocks: Sequence[Block], answer: Answer
) -> Any:
    """Outputs of `model`, in training mode if its `call` knows of one."""
    with LiftingScope(blocks, answer):
        if "training" in inspect.signature(model.call).parameters:
            return model(x, training=True)
        return model(x)


def _hook(
    index: int, block: Block, original: Callable[..., Tensor]
) -> Callable[..., Tensor]:
    def activate(z: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        scope = current_scope()
        if not isinstance(scope, LiftingScope):
            return original(z, *arguments, **keywords)
        return scope._ask(
            index, block, z, lambda z: original(z, *arguments, **keywords)
        )

    return activate
