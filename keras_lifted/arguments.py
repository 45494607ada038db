"""Objects that are saved by the arguments of their constructor."""

import inspect
from collections.abc import Mapping
from typing import Any, Self

import keras


class Saved:
    """Has `get_config` and `from_config` by its constructor's arguments.

    Arguments that are Keras objects, or hold some, are saved with it.
    """

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make it again: attributes of their names."""
        inherited: dict[str, Any] = getattr(super(), "get_config", dict)()
        arguments = keras.saving.serialize_keras_object(arguments_of(self))
        return {**inherited, **arguments}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return what these arguments make."""
        nested = {
            name: keras.saving.deserialize_keras_object(value)
            for name, value in config.items()
            if isinstance(value, (dict, list, tuple))
        }
        return cls(**{**config, **nested})


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


def serialize(instance: Any) -> Any:
    """Return the config of an object and its class, which `deserialize` takes.

    Args:
        instance: object. A penalty, an update and the like.

    Example:

    >>> import keras_lifted as kl
    >>> config = kl.penalties.serialize(kl.penalties.Bregman(weight=2.0))
    >>> kl.penalties.deserialize(config).weight
    2.0
    """
    return keras.saving.serialize_keras_object(instance)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Return the object that `serialize` described.

    Args:
        config: dict. What `serialize` returned.
        custom_objects: dict. Classes of one's own by name. Defaults to None.
    """
    return keras.saving.deserialize_keras_object(config, custom_objects)
