"""Checks of the arguments that repeated updates share."""

from __future__ import annotations

from typing import Any

from keras_lifted.checks import check_count
from keras_lifted.checks import check_number


def check_steps(steps: Any) -> int:
    """Return `steps` as a positive int, or a ValueError."""
    return check_count("steps", steps, "updates of each lifted variable per batch")


def check_tolerance(tolerance: Any) -> float:
    """Return `tolerance` as a non-negative float, or a ValueError."""
    expected = ">= 0 (relative change at which to stop; 0: never early)"
    return check_number("tolerance", tolerance, lambda number: number >= 0, expected)
