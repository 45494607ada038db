"""Objects that users give as an instance, a name or a config."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import TypeVar

import keras

from keras_lifted.checks import described

T = TypeVar("T")


def resolve(
    identifier: Any,
    kind: type[Any],
    names: Mapping[str, Callable[[], T]],
    expected: str,
) -> T:
    """Return the object that `identifier` stands for, or raise a ValueError.

    It is an instance of `kind`, its config, or one of the `names`, in whatever case;
    `expected` is what the error says of it, before "Received: …".
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, kind):
        instance: T = identifier
        return instance
    if isinstance(identifier, str) and identifier.lower() in names:
        return names[identifier.lower()]()
    raise ValueError(f"{expected}. Received: {described(identifier)}")
