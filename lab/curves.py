"""What the runs of time_to_quality.py say: quality by epochs and by seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from methods import METHODS
from rates import ENDING
from tasks import TASKS


def curve(run: dict[str, Any], name: str) -> np.ndarray:
    """`(seeds, epochs)`, NaN after a failure."""
    return np.array(run[name], dtype=float)


def parts_of(run: dict[str, Any]) -> int:
    """Points of its curves in an epoch."""
    return max(1, round(curve(run, "quality").shape[1] / run["epochs"]))


def elapsed(run: dict[str, Any]) -> np.ndarray:
    """Seconds of training up to each point of the curves, mean over seeds."""
    return np.cumsum(curve(run, "seconds"), axis=1).mean(axis=0)


def time_to(run: dict[str, Any], level: float, score: Any) -> float:
    """Seconds until the first point whose mean quality reaches `level`."""
    means = curve(run, "quality").mean(axis=0)
    reached = [score(mean) >= score(level) for mean in means]
    return float(elapsed(run)[reached.index(True)]) if True in reached else np.inf


def step_ratio(run: dict[str, Any], reference: dict[str, Any]) -> float:
    """Median over seeds and epochs of the ratio of seconds in the same turn."""
    one, other = curve(run, "seconds"), curve(reference, "seconds")
    epochs = min(one.shape[1], other.shape[1])
    return float(np.nanmedian(one[:, :epochs] / other[:, :epochs]))


def table(results: dict[str, Any]) -> str:
    """Markdown: quality after each horizon, step time, time to quality."""
    task, runs = TASKS[results["task"]], results["runs"]
    lifted = [run for run in runs if METHODS[run["method"]].lifted]
    adam = [r for r in runs if r["method"] == "adam" and r["schedule"] == "constant"]
    reach = "".join(
        f" {run['method']}, {run['epochs']} epochs, gets there |" for run in lifted
    )
    lines = [
        f"| method | rate | epochs | {task.unit} | seconds | step / Adam |{reach}",
        "|---" * (6 + len(lifted)) + "|",
    ]
    for run in runs:
        ends = [h for h in results["horizons"] if h <= run["epochs"]]
        ends = [run["epochs"]] if run["schedule"] in ENDING else ends
        for end in ends:
            at = round(end * parts_of(run)) - 1
            quality = curve(run, "quality")[:, at]
            spread = quality.std(ddof=1) if len(quality) > 1 else 0.0
            seconds = elapsed(run)[at]
            ratio = f"{step_ratio(run, adam[0]):.2f}" if adam else ""
            times = [time_to(each, quality.mean(), task.score) for each in lifted]
            cells = [
                f"{run['method']}, {run['schedule']}",
                "default" if run["rate"] is None else f"{run['rate']:g}",
                str(end),
                f"{quality.mean():.2f} ± {spread:.2f}",
                f"{seconds:.1f}",
                ratio,
            ]
            if run not in lifted:
                cells += [
                    f"{time:.1f} s, {time / seconds:.2f}x" if time < np.inf else "no"
                    for time in times
                ]
            else:
                cells += [""] * len(lifted)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
