"""Searches a learning rate on the grid {1, 2, 5} × 10^k."""

from __future__ import annotations

import math
from collections.abc import Callable


def grid(index: int) -> float:
    """`..., 0.1, 0.2, 0.5, 1, 2, ...`, 1 at index 0."""
    return float(f"{(1, 2, 5)[index % 3]}e{index // 3}")


def nearest(rate: float) -> int:
    """Return the index of the rate on the grid that is nearest to `rate`."""
    guess = round(3 * math.log10(rate))
    return min(range(guess - 2, guess + 3), key=lambda i: abs(math.log(grid(i) / rate)))


def climb(start: float, score: Callable[[float], float], reach: int = 2) -> float:
    """Return a rate that no `reach` neighbours on either side surpass.

    The grid has no end: the walk goes on as long as a neighbour is better. A
    start that fails altogether is left downwards, for 12 rates at most.
    """
    scores: dict[int, float] = {}

    def at(index: int) -> float:
        if index not in scores:
            scores[index] = score(grid(index))
        return scores[index]

    best = nearest(start)
    for _ in range(12):
        if at(best) > -math.inf:
            break
        best -= 1
    while True:
        better = max((best + d for r in range(1, reach + 1) for d in (r, -r)), key=at)
        if at(better) <= at(best):
            return grid(best)
        best = better
