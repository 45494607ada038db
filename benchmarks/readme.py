"""Writes README's table from the records."""

from __future__ import annotations

import pathlib

import numpy as np

from benchmarks.store import ROOT, Record
from benchmarks.summaries import Row, latest, rows
from benchmarks.tasks import TASKS

README = ROOT / "README.md"
START, END = "<!-- table -->\n\n", "\n<!-- end of table -->"
OURS, USUAL, ROWS = "lifted_steepest_descent", "adamw", 4
RATIOS = "step / Adam's", "compile / Adam's"


def table(records: list[Record]) -> str:
    """Return at most four rows: what the weight step reaches, else what lifting costs.

    Tasks come in the order of the benchmarks, each at its fewest epochs.
    """
    lines = _quality(records) or _cost(latest(records))
    return "\n".join(lines[: ROWS + 2]) + "\n"


def _quality(records: list[Record]) -> list[str]:
    """A line for every task on which it was measured with `LiftedModel`."""
    found = rows([r for r in records if r["config"]["measure"] == "quality"])
    lines: dict[str, str] = {}
    for row in sorted(found, key=lambda row: row.epochs):
        if row.method != OURS or row.task in lines:
            continue
        key = row.samples, row.epochs
        same = [r for r in found if r.task == row.task and (r.samples, r.epochs) == key]
        usual = next((r for r in same if r.method == USUAL), None)
        others = [r for r in same if not r.ours]
        if usual is not None:
            best = max(others, key=lambda other: other.score)
            cells = [f"{row.task}, {TASKS[row.task].unit}, {row.epochs} epochs"]
            cells += [_cell(each) for each in (usual, best, row)]
            cells[2] += f", {best.method}"
            lines[row.task] = _line(cells)
    head = ["task", "AdamW", "best of all baselines"]
    head.append("`LiftedModel`, `SteepestDescent`")
    order = sorted(lines, key=list(TASKS).index)
    return [*_head(head), *(lines[task] for task in order)] if lines else []


def _cell(row: Row) -> str:
    """The mean quality and the seconds of training."""
    return f"{np.mean(row.qualities):.2f} in {row.seconds:.3g} s"


def _cost(records: list[Record]) -> list[str]:
    """A line for every network on which a lifted step was timed with Adam."""
    lines = []
    for record in records:
        config, found = record["config"], record["summary"]
        if config["measure"] == "cost" and config["method"] == "lifted_adam":
            network = f"{config['task']}, {found['weights']:,} weights"
            times = [f"{found[key]:.2f}" for key in RATIOS]
            lines.append(_line([network, record["backend"], *times]))
    head = ["network", "backend", "lifted Adam step / Adam step", "compilation"]
    return [*_head(head), *lines]


def _head(cells: list[str]) -> list[str]:
    return [_line(cells), _line(["---"] * len(cells))]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def filled(text: str, records: list[Record]) -> str:
    """Return the text of README with the table of these records."""
    before, rest = text.split(START)
    return before + START + table(records) + END + rest.split(END)[1]


def write(records: list[Record], path: pathlib.Path = README) -> None:
    """Put the table into README."""
    path.write_text(filled(path.read_text(encoding="utf-8"), records), encoding="utf-8")
