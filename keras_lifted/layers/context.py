"""Which lifting scope, if any, is open in this thread; layers know no more of it."""

import threading
from collections.abc import Callable
from typing import Any, Protocol


class Scope(Protocol):
    """What a layer may ask of an open lifting scope."""

    def ask(
        self, layer: Any, z: Any, function: Callable[[Any], Any], chain: Any = None
    ) -> Any:
        """Answer `function(z)`, or its substitute; a stack's `z` is its input."""


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
