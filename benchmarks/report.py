"""Writes one page of Markdown from the records."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.methods import METHODS
from benchmarks.store import Record
from benchmarks.suites import SUITES
from benchmarks.suites import Suite
from benchmarks.tasks import TASKS

HEAD = """# Benchmarks

Made by `python -m benchmarks run {suites}` and `python -m benchmarks report`
from `benchmarks/results/runs.jsonl`, a line a run. {context}.
"""
QUALITY_NOTE = """
Mean ± standard deviation over seeds; seconds are of training without the first
step, {clock}.
A rate is the best on held-out samples with one seed (digits: by their loss): on the
grid {{1, 2, 5}} × 10ᵏ, two rates on either side lose to it. Rates fall linearly to zero
at the end of each run, but those of one-cycle and of schedule-free AdamW; a method
without a rate runs at its defaults. Keras's Muon serves convolutions and biases by
AdamW. Bold: the best mean.
"""
COST_NOTE = """
Seconds are {clock}.
The first step includes compilation; compilation is what the first 26 steps take beyond
so many later ones, which counts what a method compiles for now and then. Step times are
medians of rounds that alternate with Adam's, with the quartiles of the ratio. State
counts the numbers that an optimizer keeps.
"""
PROCESSOR = "of the processor on a CPU and of the clock elsewhere"
Key = tuple[Any, ...]


def page(records: list[Record]) -> str:
    """Return the page: a section for every suite that has results."""
    parts = [HEAD.format(suites="SUITE", context=_context(records))]
    for suite in SUITES.values():
        found = [
            record
            for record in records
            if record["config"]["measure"] == suite.measure
            and record["config"]["task"] in suite.tasks
        ]
        if found:
            parts.append(
                f"## {suite.question}\n{SECTIONS[suite.measure](suite, found)}"
            )
    return "\n".join(parts)


def _context(records: list[Record]) -> str:
    """What made the results, in words."""
    places = set()
    for record in records:
        backend, versions = record["backend"], record["versions"]
        places.add(
            f"{backend} {versions[backend]} with Keras {versions['keras']} on "
            f"{record['device']}, cores used: {record['cores']}"
        )
    commits = sorted({r["commit"][:9] + r["commit"][40:] for r in records})
    return f"{'; '.join(sorted(places))}. Commits: {', '.join(commits)}"


# -- quality ----------------------------------------------------------------------


def _quality(suite: Suite, records: list[Record]) -> str:
    """A table of all tasks, a table of equal times, and a table of each task."""
    lines = [QUALITY_NOTE.format(clock=PROCESSOR), *_overview(suite, records)]
    lines += _equal_time(suite, records)
    for task, rows in _by_task(suite, records):
        lines += [
            f"### {task}",
            "",
            f"{TASKS[task].unit}, and the loss on the test set.",
            "",
        ]
        lines += [
            "| epochs | method | rate | seeds | quality | test loss | seconds "
            "| first step, s |",
            "|---" * 8 + "|",
        ]
        for row in sorted(rows, key=lambda row: (row["epochs"], -row["score"])):
            shown = [
                row["epochs"],
                row["name"],
                _number(row["rate"], "g"),
                row["seeds"],
            ]
            shown += [row["quality"], row["loss"], f"{row['seconds']:.3g}"]
            lines.append(_line([*shown, f"{row['first_step']:.3g}"]))
        lines.append("")
    return "\n".join(lines)


def rows(records: list[Record]) -> list[Record]:
    """Return a row for each configuration but for seed and rate, at its best rate."""
    groups: dict[Key, list[Record]] = {}
    for record in latest(records):
        config = record["config"]
        key = (config["task"], config["epochs"], config["samples"], label(record))
        groups.setdefault(key, []).append(record)
    found = []
    for (task, epochs, samples, name), group in groups.items():
        first = [r for r in group if r["config"]["seed"] == 0] or group
        score = TASKS[task].score
        best = max(first, key=lambda r: TASKS[task].choice(r["summary"]))
        rate = best["config"]["rate"]
        seeds = [r for r in group if r["config"]["rate"] == rate]
        qualities = [r["summary"].get("quality", np.nan) for r in seeds]
        found.append(
            {
                **{"task": task, "epochs": epochs, "samples": samples, "name": name},
                **{"method": best["config"]["method"], "rate": rate},
                "seeds": len(seeds),
                "score": score(float(np.mean(qualities))),
                "mean": float(np.mean(qualities)),
                "quality": _spread(qualities, ".2f"),
                "loss": _spread(
                    [r["summary"].get("loss", np.nan) for r in seeds], ".4f"
                ),
                "seconds": float(np.mean([r["seconds"] for r in seeds])),
                "first_step": best["first_step"],
            }
        )
    return found


def latest(records: list[Record]) -> list[Record]:
    """Return the last record of every configuration on a backend and device."""
    last = {
        (json.dumps(r["config"], sort_keys=True), r["backend"], r["device"]): r
        for r in records
    }
    return list(last.values())


def label(record: Record) -> str:
    """Return a method with its arguments, and where it ran unless on JAX's CPU."""
    config = record["config"]
    arguments = [f"{k}={v}" for k, v in config["arguments"].items()]
    place = [record["backend"]] if record["backend"] != "jax" else []
    place += [record["device"]] if record["device"] != "cpu" else []
    return ", ".join([config["method"], *arguments, *place])


def _overview(suite: Suite, records: list[Record]) -> list[str]:
    """A row for every task and horizon, a column for every method."""
    found = rows(records)
    names = list(dict.fromkeys(row["name"] for row in found))
    lines = [_line(["task", "epochs", *names]), "|---" * (len(names) + 2) + "|"]
    keys = dict.fromkeys((r["task"], r["epochs"], r["samples"]) for r in found)
    for key in sorted(keys, key=lambda key: (suite.tasks.index(key[0]), key[1])):
        here = {
            row["name"]: row
            for row in found
            if (row["task"], row["epochs"], row["samples"]) == key
        }
        best = max(row["score"] for row in here.values())
        cells = []
        for name in names:
            row = here.get(name)
            text = f"{row['mean']:.2f}" if row else ""
            cells.append(f"**{text}**" if row and row["score"] == best else text)
        lines.append(_line([key[0], key[1], *cells]))
    return [*lines, ""]


def _equal_time(suite: Suite, records: list[Record]) -> list[str]:
    """Each run of ours beside the best baseline of equal epochs, and of equal time."""
    found = rows(records)
    lines = []
    for task in suite.tasks:
        here = [row for row in found if row["task"] == task]
        usual = [row for row in here if not METHODS[row["method"]].ours]
        for row in here:
            if METHODS[row["method"]].ours:
                alike = [r for r in usual if r["samples"] == row["samples"]]
                equal = [r for r in alike if r["epochs"] == row["epochs"]]
                timely = [r for r in alike if r["seconds"] <= row["seconds"]]
                cells = [task, row["name"], row["epochs"], row["quality"]]
                cells += [*_beside(row, equal), f"{row['seconds']:.3g}"]
                lines.append(_line([*cells, *_beside(row, timely)]))
    if not lines:
        return []
    head = ["task", "method", "epochs", "quality", "best baseline, equal epochs"]
    head += ["ahead by", "seconds", "best baseline done by then", "ahead by"]
    return [_line(head), "|---" * len(head) + "|", *lines, ""]


def _beside(row: Record, others: list[Record]) -> list[str]:
    """The best of other rows in words, and how far this row is ahead of it."""
    if not others:
        return ["none", ""]
    best = max(others, key=lambda other: other["score"])
    name = f"{best['name']}, {best['epochs']} epochs, {best['seconds']:.3g} s"
    ahead = row["score"] - best["score"]
    return [f"{best['quality']} ({name})", _number(ahead, "+.2f")]


# -- cost -------------------------------------------------------------------------


def _cost(suite: Suite, records: list[Record]) -> str:
    """A table for every task."""
    lines = [COST_NOTE.format(clock=PROCESSOR)]
    records = latest(records)
    for task in suite.tasks:
        here = [r for r in records if r["config"]["task"] == task]
        if not here:
            continue
        count = here[0]["summary"]["weights"]
        compiler = "" if TASKS[task].jit_compile else ", without XLA on TensorFlow"
        batch = TASKS[task].batch_size
        lines += [
            *(f"### {task}", "", f"{count:,} weights, batch {batch}{compiler}.", ""),
            "| method | backend | first step, s | / Adam's | compilation / Adam's "
            "| step, ms | / Adam's | state / weights |",
            "|---" * 8 + "|",
        ]
        for record in sorted(here, key=lambda r: r["backend"]):
            summary = record["summary"]
            low, high = summary["quartiles"]
            step = f"{summary[STEP]:.2f} ({low:.2f} to {high:.2f})"
            cells = [label({**record, "backend": "jax"}), record["backend"]]
            cells += [f"{record['first_step']:.2f}", f"{summary[FIRST]:.2f}"]
            cells += [f"{summary[COMPILE]:.2f}", f"{record['seconds'] * 1e3:.3g}", step]
            lines.append(_line([*cells, f"{summary['state / weights']:.2f}"]))
        lines.append("")
    return "\n".join(lines)


STEP, FIRST, COMPILE = (f"{x} / Adam's" for x in ("step", "first_step", "compile"))
SECTIONS: dict[str, Callable[[Suite, list[Record]], str]] = {
    "quality": _quality,
    "cost": _cost,
}


def _by_task(suite: Suite, records: list[Record]) -> list[tuple[str, list[Record]]]:
    """The rows of every task that has some."""
    found = rows(records)
    split = [(t, [row for row in found if row["task"] == t]) for t in suite.tasks]
    return [(task, here) for task, here in split if here]


def _spread(values: list[float], form: str) -> str:
    """Mean ± standard deviation; how many failed, where some did."""
    if not np.all(np.isfinite(values)):
        return f"{np.sum(~np.isfinite(values))} of {len(values)} failed"
    mean = f"{np.mean(values):{form}}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):{form}}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def _line(cells: list[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
