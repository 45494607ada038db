"""Argument checks shared by the updates."""

from __future__ import annotations

import math
import numbers
from typing import Any


def check_steps(steps: Any) -> int:
    """`steps` as a positive int, or a ValueError."""
    if isinstance(steps, bool) or not isinstance(steps, numbers.Integral) or steps < 1:
        raise ValueError(
            "`steps` must be an integer of at least 1 (updates of each lifted "
            f"variable per batch). Received: steps={steps!r}"
        )
    return int(steps)


def check_tolerance(tolerance: Any) -> float:
    """`tolerance` as a non-negative float, or a ValueError."""
    number = isinstance(tolerance, numbers.Real) and not isinstance(tolerance, bool)
    if not number or not math.isfinite(tolerance) or tolerance < 0:
        raise ValueError(
            "`tolerance` must be a non-negative number (relative change at "
            f"which to stop; 0: never early). Received: tolerance={tolerance!r}"
        )
    return float(tolerance)
