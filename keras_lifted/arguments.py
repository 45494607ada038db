"""Constructor arguments of an object, for saving."""

from __future__ import annotations

import inspect
from typing import Any


def arguments_of(instance: Any) -> dict[str, Any]:
    """Return `{name: attribute of that name}` for every argument of the constructor.

    Raises:
        ValueError: If an argument has no attribute of its name.
    """
    config = {}
    for name, parameter in inspect.signature(type(instance)).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if not hasattr(instance, name):
            raise ValueError(
                f"{type(instance).__name__} is saved by its constructor arguments, "
                "each kept in an attribute of its name. Received: no attribute "
                f"'{name}'. Keep it as `self.{name}`, or write `get_config`."
            )
        config[name] = getattr(instance, name)
    return config
