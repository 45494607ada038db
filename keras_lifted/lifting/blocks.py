"""Which activations of a model can be lifted, found by walking its layers."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import keras

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.mapping import from_keras
from keras_lifted.layers.mapping import is_not_proximal
from keras_lifted.layers.stack import ProximalStack


@dataclasses.dataclass(frozen=True)
class Block:
    """One place of a model that applies a proximal activation.

    Attributes:
        name: the layer's name, made unique; keys of penalties and results.
        activation: the proximal activation it applies.
        layer: the layer that applies it.
        hook: the public attribute of `layer` that a lifting scope replaces
            while it is open: "activation" (fused), "call" (a Keras activation
            layer) or "" (a `ProximalActivation` or a `ProximalStack`, which ask
            by themselves).
    """

    name: str
    activation: ProximalActivation
    layer: keras.layers.Layer
    hook: str

    @property
    def stacked(self) -> bool:
        """Whether it is a stack: equal blocks in a row, lifted together."""
        return isinstance(self.layer, ProximalStack)


_LOOPS = (
    keras.layers.RNN,
    keras.layers.Bidirectional,
    keras.layers.TimeDistributed,
)
# Layers that stay whole within a block, with the activations inside them.
_WHOLE = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    ProximalStack,
)
_KERAS_ACTIVATION_LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.Softmax,
    keras.layers.Activation,
)


def find_blocks(model: keras.Model) -> list[Block]:
    """Every proximal activation of `model`, in the order of its layers.

    Activations that are no proximal map (gelu, silu, selu, …) stay an
    ordinary differentiable part of their block; a warning says so once.

    Raises:
        ValueError: if a `ProximalActivation` sits inside a recurrent or
            time-distributed layer, whose loop hides it from lifting.
    """
    blocks: list[Block] = []
    names: dict[str, int] = {}
    ordinary: list[str] = []
    for layer, loop in walk_layers(model):
        block = _block_of(layer)
        if loop is not None:
            _refuse_loop(layer, loop)
            continue
        if block is None:
            if _ordinary_activation(layer):
                ordinary.append(layer.name)
            continue
        count = names.get(block.name, 0)
        names[block.name] = count + 1
        if count:
            block = dataclasses.replace(block, name=f"{block.name}@{count}")
        blocks.append(block)
    if ordinary:
        warnings.warn(
            f"The activations of {ordinary} are no proximal maps; they stay an "
            "ordinary, differentiated part of their block. Lift them by "
            "choosing one of keras_lifted.layers instead.",
            stacklevel=2,
        )
    return blocks


def _block_of(layer: keras.layers.Layer) -> Block | None:
    if isinstance(layer, _LOOPS):
        return None  # its activation is applied inside the loop
    if isinstance(layer, ProximalActivation):
        return Block(layer.name, layer, layer, "")
    if isinstance(layer, ProximalStack):
        return Block(layer.name, layer.activation, layer, "")
    if isinstance(layer, _KERAS_ACTIVATION_LAYERS):
        activation, hook = from_keras(layer), "call"
    else:
        fused = getattr(layer, "activation", None)
        if fused is None or isinstance(fused, keras.layers.Layer):
            return None  # a layer as activation is met on its own
        activation, hook = from_keras(fused), "activation"
    if activation is None:
        return None
    return Block(layer.name, activation, layer, hook)


def _ordinary_activation(layer: keras.layers.Layer) -> bool:
    return is_not_proximal(getattr(layer, "activation", None)) or is_not_proximal(layer)


def _refuse_loop(layer: keras.layers.Layer, loop: keras.layers.Layer) -> None:
    fused = getattr(layer, "activation", None)
    for candidate in (layer, fused):
        if isinstance(candidate, ProximalActivation):
            raise ValueError(
                f"The proximal activation '{candidate.name}' is inside the "
                f"loop of '{loop.name}' ({type(loop).__name__}), where its "
                "output has no lifted variable of its own. Use the Keras "
                "activation there (it stays an ordinary part of its block), "
                "or apply the activation outside the loop."
            )


def walk_layers(
    root: keras.layers.Layer, whole: bool = True
) -> Iterator[tuple[keras.layers.Layer, keras.layers.Layer | None]]:
    """All layers below `root`, each once, with the loop layer around it.

    Args:
        root: a model or layer.
        whole: whether layers such as attention count as one.
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
