"""Which lifting scope, if any, is open in this thread.

Layers ask this module one question when they are called; the scopes of
`keras_lifted.lifting` answer it. Keeping the question below both lets layers
know nothing of lifting.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

if TYPE_CHECKING:
    from keras_lifted.layers.base import ProximalActivation
    from keras_lifted.layers.chain import Chain
    from keras_lifted.layers.stack import ProximalStack


class Scope(Protocol):
    """What a layer may ask of an open lifting scope."""

    def activate(self, activation: ProximalActivation, z: Any, name: str) -> Any:
        """Answer `σ(z)`, or whatever the scope puts in its place."""

    def activate_stack(self, stack: ProximalStack, chain: Chain, u: Any) -> Any:
        """Answer the output of a stack on `u`, or whatever is put in its place."""


class _Stack(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Scope] = []


_stack = _Stack()


def current_scope() -> Scope | None:
    """The innermost open lifting scope of this thread, or None."""
    return _stack.scopes[-1] if _stack.scopes else None


def push_scope(scope: Scope) -> None:
    """Open `scope` in this thread."""
    _stack.scopes.append(scope)


def pop_scope() -> None:
    """Close the innermost scope of this thread."""
    _stack.scopes.pop()
