"""Chooses learning rates on the grid {1, 2, 5} × 10^k."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable
from typing import Any

SCHEDULES = ("constant", "cosine")
# Schedules that end at a horizon: that of the usual methods, and ISGM's own.
ENDING = ("cosine", "decay")


def grid(index: int) -> float:
    """`..., 0.1, 0.2, 0.5, 1, 2, ...`, 1 at index 0."""
    return float(f"{(1, 2, 5)[index % 3]}e{index // 3}")


def nearest(rate: float) -> int:
    """The index of the rate on the grid that is nearest to `rate`."""
    guess = round(3 * math.log10(rate))
    return min(range(guess - 2, guess + 3), key=lambda i: abs(math.log(grid(i) / rate)))


def climb(start: float, score: Callable[[float], float], reach: int = 1) -> float:
    """The rate that scores better than `reach` neighbours on either side.

    The grid has no end: the walk goes on as long as a neighbour is better. A
    start that fails altogether is left downwards.
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
        around = [best + d for r in range(1, reach + 1) for d in (r, -r)]
        better = max(around, key=at)
        if at(better) <= at(best):
            return grid(best)
        best = better


def best_on_grid(start: float, score: Callable[[float], float]) -> tuple[float, float]:
    """The value that `climb` finds and its score; scores not finite are failures."""
    scores: dict[float, float] = {}

    def remembered(value: float) -> float:
        found = float(score(value))
        scores[value] = found if math.isfinite(found) else -math.inf
        return scores[value]

    best = climb(start, remembered)
    return best, scores[best]


def search(
    start: float,
    choices: tuple[dict[str, Any], ...],
    quality: Callable[[dict[str, Any], float], float],
    score: Callable[[float], float],
    reach: int = 1,
) -> dict[str, Any]:
    """The best of `choices` at its best rate, and all that was tried."""
    tried: list[dict[str, Any]] = []
    for choice in choices:

        def measured(rate: float, choice: dict[str, Any] = choice) -> float:
            value = quality(choice, rate)
            entry = {"choice": choice, "rate": rate}
            tried.append(entry | {"quality": value if math.isfinite(value) else None})
            return score(value)

        start = climb(start, measured, reach)
    best = max(tried, key=lambda t: score(_number(t["quality"])))
    return {**best, "tried": tried}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def stored(path: str, task: str) -> dict[str, Any]:
    """The rate search of an earlier report of the same task."""
    if not path:
        return {}
    results = json.loads(pathlib.Path(path).read_text())["results"]
    if results["task"] != task:
        raise ValueError(
            f"Expected rates of the task '{task}'. Received: {path}, of the task "
            f"'{results['task']}'."
        )
    return results["rates"]
