"""Checks of arguments that say what was expected and what came."""

import math
import numbers
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import keras
import numpy as np

T = TypeVar("T")


def described(value: Any) -> str:
    """Return a value for an error: arrays by type and shape, never their entries."""
    shape: Any = getattr(value, "shape", None)
    if isinstance(shape, tuple) or hasattr(shape, "as_list"):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def check_number(
    name: str,
    value: Any,
    allowed: Callable[[float], bool],
    expected: str,
    owner: str = "",
) -> float:
    """Return `value` as a float if it is a finite number that is `allowed`.

    Raises:
        ValueError: Otherwise; it names the argument, its owner and what is `expected`.
    """
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if real and math.isfinite(value) and allowed(float(value)):
        return float(value)
    raise ValueError(
        f"`{name}`{owner and f' of {owner}'} must be a finite number {expected}. "
        f"Received: {name}={described(value)}"
    )


def interval(
    owner: str, low: tuple[str, Any], high: tuple[str, Any], fix: str
) -> tuple[float, float]:
    """Check two finite numbers, the second greater; both come as `(name, value)`."""
    name, value = low
    least = check_number(name, value, lambda _: True, f"; {fix}", owner)
    expected = f"> {name}={least}; exchange the two if they are the wrong way round"
    greatest = check_number(*high, lambda value: value > least, expected, owner)
    return least, greatest


def non_negative(owner: str, name: str, value: Any) -> float:
    """Return a finite number `>= 0`."""
    expected = ">= 0; pass 0.0 to switch it off"
    return check_number(name, value, lambda v: v >= 0, expected, owner)


def positive(owner: str, name: str, value: Any) -> float:
    """Return a finite number `> 0`."""
    expected = "> 0; pass 1.0 if unsure"
    return check_number(name, value, lambda v: v > 0, expected, owner)


def check_array(
    name: str, value: Any, dtype: str = "float64", owner: str = ""
) -> np.ndarray:
    """Return `value` as an array of this dtype.

    Raises:
        ValueError: If it does not hold real numbers, or is ragged.
    """
    try:
        array = np.asarray(value)
    except ValueError:  # ragged
        array = np.asarray(None)
    if array.dtype.kind in "fiub" or array.dtype.name == "bfloat16":
        return array.astype(dtype)
    kind = "" if array.dtype.kind == "O" else f" of dtype {array.dtype}"
    raise ValueError(
        f"`{name}`{owner and f' of {owner}'} must be an array of numbers. "
        f"Received: {name}={described(value)}{kind}"
    )


def check_between(name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a float within `[low, high)`, or a ValueError."""
    expected = f"of at least {low:g} and below {high:g}"
    return check_number(name, value, lambda number: low <= number < high, expected)


def is_count(value: Any) -> bool:
    """Return whether it is an integer of at least 1, and no bool."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return whole and bool(value >= 1)


def check_count(name: str, value: Any, meaning: str = "") -> int:
    """Return `value` as a positive int, or a ValueError that says what it counts."""
    if is_count(value):
        return int(value)
    raise ValueError(
        f"`{name}` must be an integer of at least 1{meaning and f' ({meaning})'}. "
        f"Received: {name}={value!r}"
    )


def check_choice(name: str, value: Any, choices: Collection[Any]) -> Any:
    """Return `value` if it is one of the names, numbers or None, or a ValueError."""
    if (value is None or isinstance(value, (str, numbers.Real))) and value in choices:
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    raise ValueError(f"`{name}` must be one of {listed}. Received: {name}={value!r}")


def check_kernel_size(value: Any) -> int:
    """Return `value` as an odd positive integer, or raise a ValueError."""
    if is_count(value) and value % 2:
        return int(value)
    raise ValueError(
        "`kernel_size` must be an odd positive integer, so that a kernel has a "
        f"middle; pass 3 if unsure. Received: kernel_size={value!r}"
    )


def flag(owner: str, name: str, value: Any) -> bool:
    """Return a bool."""
    if isinstance(value, bool):
        return value
    raise ValueError(
        f"`{name}` of {owner} must be a bool; pass True or False. "
        f"Received: {name}={value!r}"
    )


def axis(owner: str, value: Any) -> int:
    """Return an axis of a sample: any integer but 0, the batch."""
    integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if integer and value != 0:
        return int(value)
    raise ValueError(
        f"`axis` of {owner} must be an integer other than 0, which is the batch; "
        f"pass -1 for the last axis. Received: axis={value!r}"
    )


def axes(owner: str, value: Any) -> int | tuple[int, ...] | None:
    """Check one axis, several, or None for all axes of a sample."""
    if value is None:
        return None
    if isinstance(value, (tuple, list)) and value:
        return tuple(axis(owner, each) for each in value)
    return axis(owner, value)


def made_by_name(name: str, makers: Mapping[str, Callable[[], T]]) -> T | None:
    """Return what the maker of that name makes, in snake or camel case, or None."""
    bare = name.replace("_", "").lower()
    for known, make in makers.items():
        if known.replace("_", "") == bare:
            return make()
    return None


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
    found = identifier
    if isinstance(identifier, dict):
        found = keras.saving.deserialize_keras_object(identifier)
    elif isinstance(identifier, str):
        found = made_by_name(identifier, names)
    if isinstance(found, kind):
        instance: T = found
        return instance
    raise ValueError(f"{expected}. Received: {described(identifier)}")
