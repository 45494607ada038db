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
    """Return the object that `identifier` stands for.

    Args:
        identifier: an instance of `kind`, its config, or one of the names, in
            whatever case.
        kind: the class of what is looked for.
        names: makes an object, by name.
        expected: what the error says of it, before "Received: …".

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, kind):
        instance: T = identifier
        return instance
    if isinstance(identifier, str) and identifier.lower() in names:
        return names[identifier.lower()]()
    raise ValueError(f"{expected}. Received: {described(identifier)}")
