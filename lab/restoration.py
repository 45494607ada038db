"""Restoration in one table: lifted training and the best baseline of every task.

    python lab/restoration.py lab/results/restoration_*.json

Reads reports of time_to_quality.py and writes docs/restoration.md. The best baseline
is the best on test images among all runs of all methods that are not lifted: at equal
epochs those of as many epochs, at equal time those that were done when the lifted
run was, which may have taken less time.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
from typing import Any
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np
from curves import curve
from curves import elapsed
from methods import METHODS
from rates import ENDING


class Point(NamedTuple):
    """What a run has reached after some epochs, mean over seeds."""

    method: str
    schedule: str
    rate: float | None
    epochs: int
    seconds: float
    psnr: float
    ssim: float


def points(runs: list[dict[str, Any]]) -> list[Point]:
    """Every epoch of a constant rate, and the end of every cosine; failures left out.

    They are in the order of `runs`.
    """
    found = []
    for run in runs:
        seconds = elapsed(run)
        psnr, ssim = (curve(run, name).mean(axis=0) for name in ("quality", "ssim"))
        first = run["epochs"] if run["schedule"] in ENDING else 1
        for epoch in range(first, run["epochs"] + 1):
            i = epoch - 1
            if np.isfinite(psnr[i]):
                found.append(
                    Point(
                        run["method"],
                        run["schedule"],
                        run["rate"],
                        epoch,
                        float(seconds[i]),
                        float(psnr[i]),
                        float(ssim[i]),
                    )
                )
    return found


def best(candidates: list[Point]) -> Point | None:
    """The one of highest PSNR."""
    return max(candidates, key=lambda point: point.psnr, default=None)


def rows(results: dict[str, Any]) -> list[str]:
    """A row of the table for every lifted run."""
    every = points(results["runs"])
    lifted = [point for point in every if METHODS[point.method].lifted]
    usual = [point for point in every if not METHODS[point.method].lifted]
    seeds = len(results["runs"][0]["quality"])
    lines = []
    for point in lifted:
        as_long = best([p for p in usual if p.epochs == point.epochs])
        in_time = best([p for p in usual if p.seconds <= point.seconds])
        cells = [
            results["task"].replace("_", " "),
            f"{results['images']:,}",
            str(seeds),
            str(point.epochs),
            f"{point.psnr:.2f} / {point.ssim:.3f}",
            *compared(point, as_long),
            f"{point.seconds:.1f}",
            *compared(point, in_time),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def compared(point: Point, other: Point | None) -> list[str]:
    """Another point in words, and the difference in PSNR to it."""
    if other is None:
        return ["none", ""]
    name = f"{other.method}, {other.schedule} {other.rate:g}, {other.epochs} epochs"
    name += f", {other.seconds:.1f} s"
    quality = f"{other.psnr:.2f} / {other.ssim:.3f}"
    return [f"{quality} ({name})", f"{point.psnr - other.psnr:+.2f}"]


def page(reports: list[dict[str, Any]]) -> str:
    """Markdown: the table, and what made each row."""
    lines = [
        "# restoration",
        "",
        "| task | images | seeds | epochs | `ISGM()`, PSNR (dB) / SSIM "
        "| best baseline, equal epochs | dB | seconds | best baseline done by then "
        "| dB |",
        "|---" * 10 + "|",
    ]
    for report in reports:
        lines += rows(report["results"])
    lines.append("")
    for report in reports:
        versions = ", ".join(f"{k} {v}" for k, v in report["versions"].items())
        lines.append(
            f"* `{report['command']}`; {versions}, {report['cpu_count']} CPU cores."
        )
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", nargs="+", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE / "docs")
    options = parser.parse_args()
    markdown = page([json.loads(path.read_text()) for path in options.reports])
    options.folder.mkdir(parents=True, exist_ok=True)
    (options.folder / "restoration.md").write_text(markdown)
    print(markdown)


if __name__ == "__main__":
    main()
