"""Which lifting scope, if any, is open in this thread.

Layers ask this module one question when they are called; the scopes of
`keras_lifted.lifting` answer it. Keeping the question below both lets layers
know nothing of lifting.
"""

import threading
from collections.abc import Callable
from typing import Any
from typing import Protocol


class Scope(Protocol):
    """What a layer may ask of an open lifting scope."""

    def ask(
        self, layer: Any, z: Any, function: Callable[[Any], Any], chain: Any = None
    ) -> Any:
        """Answer `function(z)`, or whatever the scope puts in its place.

        A stack hands over its input for `z`, and its weights as `chain`.
        """


class _Stack(threading.local):
    def __init__(self) -> None:
        self.scopes: list[Scope] = []


_stack = _Stack()


def current_scope() -> Scope | None:
    """Return the innermost open lifting scope of this thread, or None."""
    return _stack.scopes[-1] if _stack.scopes else None


def push_scope(scope: Scope) -> None:
    """Open `scope` in this thread."""
    _stack.scopes.append(scope)


def pop_scope() -> None:
    """Close the innermost scope of this thread."""
    _stack.scopes.pop()
