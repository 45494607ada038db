"""Hooks on Keras layers, by which a lifting scope hears of their activations.

Keras applies a fused activation as `layer.activation`, a public attribute, and an
activation layer as `layer.call`. While at least one scope in any thread holds a
layer, that attribute is a `Hook`, which asks the innermost scope of its own thread.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from keras_lifted.layers.base import open_scope

Tensor = Any

_lock = threading.Lock()


class Hook:
    """Stands for `layer.attribute`, "activation" or "call", while scopes hold it."""

    def __init__(self, layer: Any, attribute: str) -> None:
        self.layer = layer
        self.attribute = attribute
        self.original = getattr(layer, attribute)
        self.own = attribute in vars(layer)  # not of its class
        self.holders = 0

    def __call__(self, z: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        def ordinary(z: Tensor) -> Tensor:
            return self.original(z, *arguments, **keywords)

        scope = open_scope.get()
        return ordinary(z) if scope is None else scope.ask(self.layer, z, ordinary)


@contextlib.contextmanager
def hooked(layer: Any, attribute: str) -> Iterator[None]:
    """Hold a hook in the place of the attribute; the last holder puts it back."""
    with _lock:
        hook = vars(layer).get(attribute)
        if not isinstance(hook, Hook):
            hook = Hook(layer, attribute)
            setattr(layer, attribute, hook)
        hook.holders += 1
    try:
        yield
    finally:
        with _lock:
            hook.holders -= 1
            if not hook.holders and hook.own:
                setattr(layer, attribute, hook.original)
            elif not hook.holders:
                delattr(layer, attribute)
