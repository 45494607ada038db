"""Which activations of a model can be lifted, found by walking its layers."""

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any

import keras

from keras_lifted.layers.base import AnyActivation, ProximalActivation
from keras_lifted.layers.mapping import KERAS_LAYERS, from_keras, is_not_proximal
from keras_lifted.layers.proximal_stack import ProximalStack
from keras_lifted.layers.stack import Stack
from keras_lifted.lifting.hooks import Hook


@dataclasses.dataclass(frozen=True)
class Block:
    """One place of a model that applies a proximal activation.

    Attributes:
        name: the layer's name, made unique; keys of penalties and results.
        activation: the proximal activation it applies.
        layer: the layer that applies it.
        hook: the public attribute of `layer` that a lifting scope replaces
            while it is open: "activation" (fused), "call" (a Keras activation
            layer) or "" (a `ProximalActivation` or a stack, which ask by
            themselves).
    """

    name: str
    activation: ProximalActivation
    layer: keras.layers.Layer
    hook: str

    @property
    def stacked(self) -> bool:
        """Whether it is a stack: equal blocks in a row, lifted together."""
        return isinstance(self.layer, _STACKS)


_STACKS = (ProximalStack, Stack)
_LOOPS = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
)
# Layers that stay whole within a block, with the activations inside them.
_WHOLE = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    *_STACKS,
)


def find_blocks(model: keras.Model, every: bool = False) -> list[Block]:
    """Find every activation of `model` that can be lifted, in the order of layers.

    Activations that are not proximal maps (gelu, silu, selu, …) unless `every` is true,
    and all within the loop of a recurrent or time-distributed layer, stay a
    differentiated part of their block.
    """
    blocks: list[Block] = []
    names: collections.Counter[str] = collections.Counter()
    for layer, loop in walk_layers(model):
        block = _block_of(layer, every)
        if loop is not None or block is None:
            continue
        count = names[block.name]
        names[block.name] += 1
        if count:
            block = dataclasses.replace(block, name=f"{block.name}@{count}")
        blocks.append(block)
    return blocks


def count_ordinary(model: keras.Model) -> int:
    """Return how many layers of `model` apply an activation that is no proximal map."""
    count = 0
    for layer, loop in walk_layers(model):
        proximal = _block_of(layer) is not None
        own = isinstance(layer, ProximalActivation)
        if loop is None:
            count += not proximal and _block_of(layer, every=True) is not None
        elif own or isinstance(loop, keras.layers.TimeDistributed):
            count += proximal
    return count


def _block_of(layer: keras.layers.Layer, every: bool = False) -> Block | None:
    if isinstance(layer, _LOOPS):
        return None  # its activation is applied inside the loop
    if isinstance(layer, ProximalActivation):
        return Block(layer.name, layer, layer, "")
    if isinstance(layer, _STACKS):
        return Block(layer.name, layer.activation, layer, "")
    if isinstance(layer, KERAS_LAYERS):
        subject, hook = layer, "call"
    else:
        subject, hook = vars(layer).get("activation"), "activation"
        subject = subject.original if isinstance(subject, Hook) else subject
        if isinstance(subject, keras.layers.Layer):
            return None  # a layer as activation is met on its own
    activation = from_keras(subject)
    if activation is None and every and is_not_proximal(subject):
        activation = AnyActivation(subject)
    return activation and Block(layer.name, activation, layer, hook)


def walk_layers(
    root: keras.layers.Layer, whole: bool = True
) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer | None]]:
    """Yield all layers below `root`, each once, with the loop layer around it.

    With `whole`, layers such as attention count as one.
    """
    seen: set[int] = {id(root)}

    def below(
        layer: keras.layers.Layer, loop: keras.layers.Layer | None
    ) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer | None]]:
        inner = layer if loop is None and isinstance(layer, _LOOPS) else loop
        for child in _layers_in(vars(layer).values()):
            if id(child) not in seen:
                seen.add(id(child))
                yield child, inner
                if not (whole and isinstance(child, _WHOLE)):
                    yield from below(child, inner)

    yield from below(root, None)


def _layers_in(values: Any) -> Iterator[keras.layers.Layer]:
    for value in values:
        if isinstance(value, keras.layers.Layer):
            yield value
        elif isinstance(value, dict):
            yield from _layers_in(value.values())
        elif isinstance(value, (list, tuple, set)):
            yield from _layers_in(value)
