"""Argument checks shared by the geometries."""

from __future__ import annotations

import math
import numbers
from typing import Any


def check_between(name: str, value: Any, low: float, high: float) -> float:
    """`value` as a float within `[low, high)`, or a ValueError."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value < high:
        raise ValueError(
            f"`{name}` must be a number of at least {low:g} and below {high:g}. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def check_count(name: str, value: Any) -> int:
    """`value` as a positive int, or a ValueError."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. Received: {name}={value!r}"
        )
    return int(value)
