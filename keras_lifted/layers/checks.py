"""Checks of constructor arguments that say what came and how to fix it."""

import numbers
from collections.abc import Callable
from typing import Any

from keras_lifted.checks import check_number


def number(
    owner: str,
    name: str,
    value: Any,
    allowed: Callable[[float], bool],
    expected: str,
    fix: str,
) -> float:
    """Return `value` as a float if it is finite and `allowed`, or a ValueError."""
    return check_number(name, value, allowed, f"{expected}; {fix}", owner)


def interval(
    owner: str, low: tuple[str, Any], high: tuple[str, Any], fix: str
) -> tuple[float, float]:
    """Check two finite numbers, the second greater; both come as `(name, value)`."""
    name, value = low
    least = number(owner, name, value, lambda _: True, "", fix)
    greatest = number(
        owner,
        *high,
        lambda value: value > least,
        f"> {name}={least}",
        "exchange the two if they are the wrong way round",
    )
    return least, greatest


def non_negative(owner: str, name: str, value: Any) -> float:
    """Return a finite number `>= 0`."""
    return number(
        owner, name, value, lambda v: v >= 0, ">= 0", "pass 0.0 to switch it off"
    )


def positive(owner: str, name: str, value: Any) -> float:
    """Return a finite number `> 0`."""
    return number(owner, name, value, lambda v: v > 0, "> 0", "pass 1.0 if unsure")


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
