"""Writes one page of Markdown from the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.methods import METHODS
from benchmarks.store import Record
from benchmarks.suites import SUITES, Suite
from benchmarks.summaries import Row, label, latest, rows, short
from benchmarks.tasks import TASKS

HEAD = """# Benchmarks

`python -m benchmarks run SUITE` measures, and `python -m benchmarks report` writes this
page from `benchmarks/results/runs.jsonl`, which has a line for each run. Seconds are of
the processor on a CPU and of the clock elsewhere. The runs were made with
{places}.
"""
QUALITY_NOTE = """
Results are means ± standard deviations over seeds, as many as stated; seconds are of
training without the first step. A rate is the best on held-out samples with one seed
(digits: by their loss): on the grid {1, 2, 5} × 10ᵏ, two rates on either side lose to
it. Rates fall linearly to zero at the end of each run, but those of one-cycle and of
schedule-free AdamW; a method without a rate runs at its defaults. Keras's Muon serves
convolutions and biases by AdamW. The best mean is bold.
"""
COST_NOTE = """
The first step includes compilation; compilation is what the first 26 steps take beyond
so many later ones, which counts what a method compiles for now and then. Step times are
medians of rounds that alternate with Adam's, with the quartiles of the ratio. State
counts the numbers that an optimizer keeps.
"""
KERAS = "Keras's"
ZOO_NOTE = """
`kl.LiftedModel(model.inputs, model.outputs)` with Adam beside the model itself: batch
8, compiled as Keras does by default. Activations within recurrent layers and at the
output are not counted. First steps are the faster of two; steps are medians of rounds
that alternate, with the quartiles of the ratio.
"""


def page(records: list[Record]) -> str:
    """Return the page: a section for every suite that has results."""
    parts = [HEAD.format(places=";\n".join(sorted(set(map(_place, records)))))]
    for suite in SUITES.values():
        found = [
            record
            for record in records
            if record["config"]["measure"] == suite.measure
            and record["config"]["task"] in suite.tasks
        ]
        if found:
            parts += [f"## {suite.question}", SECTIONS[suite.measure](suite, found)]
    return "\n".join(parts)


def _place(record: Record) -> str:
    """Versions and device."""
    backend, versions = record["backend"], record["versions"]
    name = {"jax": "JAX", "tensorflow": "TensorFlow"}.get(backend, backend)
    return (
        f"{name} {versions[backend]} and Keras {versions['keras']} on "
        f"{record['device']} (cores used: {record['cores']})"
    )


# -- quality ----------------------------------------------------------------------


def _quality(suite: Suite, records: list[Record]) -> str:
    """A table of all tasks, one of equal times, and one of each task."""
    found = rows(records)
    lines = [QUALITY_NOTE, *_overview(suite, found), *_equal_time(suite, found)]
    head = ["epochs", "samples", "method", "rate", "seeds", "quality", "test loss"]
    head += ["seconds", "first step, s", "commit"]
    for task in suite.tasks:
        here = [row for row in found if row.task == task]
        if here:
            here.sort(key=lambda row: (row.epochs, row.samples, -row.score))
            title = f"{TASKS[task].unit}, and the loss on the test set."
            lines += [f"### {task}", "", title, "", *_table(head, map(_cells, here))]
    return "\n".join(lines)


def _cells(row: Row) -> list[Any]:
    """The cells of a row in the table of its task."""
    rate = "" if row.rate is None else f"{row.rate:g}"
    cells = [row.epochs, f"{row.samples:,}", row.method, rate, len(row.qualities)]
    cells += [_spread(row.qualities, ".2f"), _spread(row.losses, ".4f")]
    return [*cells, f"{row.seconds:.3g}", f"{row.first_step:.3g}", row.commit]


def _overview(suite: Suite, found: list[Row]) -> list[str]:
    """A line for every task and horizon, a column for every method."""
    order = list(METHODS)
    methods = sorted(
        {row.method for row in found},
        key=lambda name: (order.index(name.split(",")[0]), name),
    )
    keys = {(suite.tasks.index(r.task), r.task, r.samples, r.epochs) for r in found}
    lines = []
    for _, *key in sorted(keys):
        here = {r.method: r for r in found if [r.task, r.samples, r.epochs] == key}
        best = max(row.score for row in here.values())
        cells = [_bold(here[m], best) if m in here else "" for m in methods]
        lines.append([key[0], key[2], *cells])
    return _table(["task", "epochs", *methods], lines)


def _bold(row: Row, best: float) -> str:
    """The mean quality, bold where it is the best."""
    mean = f"{np.mean(row.qualities):.2f}"
    return f"**{mean}**" if row.score == best else mean


def _equal_time(suite: Suite, found: list[Row]) -> list[str]:
    """Each row of ours beside the best baseline of equal epochs, and of equal time."""
    head = ["task", "method", "epochs", "quality", "best baseline, equal epochs"]
    head += ["ahead by", "seconds", "best baseline done by then", "ahead by"]
    lines = []
    for row in sorted(found, key=lambda row: suite.tasks.index(row.task)):
        if row.ours:
            usual = [r for r in found if r.task == row.task and not r.ours]
            usual = [r for r in usual if r.samples == row.samples]
            equal = [r for r in usual if r.epochs == row.epochs]
            timely = [r for r in usual if r.seconds <= row.seconds]
            cells = [row.task, row.method, row.epochs, _spread(row.qualities, ".2f")]
            cells += [*_beside(row, equal), f"{row.seconds:.3g}"]
            lines.append([*cells, *_beside(row, timely)])
    return _table(head, lines) if lines else []


def _beside(row: Row, others: list[Row]) -> list[str]:
    """The best of other rows in words, and how far this row is ahead of it."""
    if not others:
        return ["none", ""]
    best = max(others, key=lambda other: other.score)
    how = f"{best.method}, epochs: {best.epochs}, {best.seconds:.3g} s"
    quality = _spread(best.qualities, ".2f")
    return [f"{quality} ({how})", f"{row.score - best.score:+.2f}"]


# -- cost -------------------------------------------------------------------------


def _cost(suite: Suite, records: list[Record]) -> str:
    """A table for every task."""
    lines = [COST_NOTE]
    head = ["method", "first step, s", "/ Adam's", "compilation / Adam's", "step, ms"]
    head += ["/ Adam's", "state / weights", "commit"]
    for task in suite.tasks:
        here = [r for r in latest(records) if r["config"]["task"] == task]
        if not here:
            continue
        here.sort(key=lambda record: record["backend"])
        size = f"{here[0]['summary']['weights']:,} weights"
        compiler = "" if TASKS[task].jit_compile else ", without XLA on TensorFlow"
        title = f"{size}, batch {TASKS[task].batch_size}{compiler}."
        lines += [f"### {task}", "", title, "", *_table(head, map(_costs, here))]
    return "\n".join(lines)


def _costs(record: Record) -> list[str]:
    """The cells of a method in the table of a task."""
    summary = record["summary"]
    low, high = summary["quartiles"]
    return [
        label(record),
        f"{record['first_step']:.2f}",
        _ratio(summary, "first_step"),
        _ratio(summary, "compile"),
        f"{record['seconds'] * 1e3:.3g}",
        f"{_ratio(summary, 'step')} ({low:.2f} to {high:.2f})",
        f"{summary['state / weights']:.2f}",
        short(record["commit"]),
    ]


# -- zoo --------------------------------------------------------------------------


def _zoo(suite: Suite, records: list[Record]) -> str:
    """A table of all models."""
    head = ["model", "weights", "backend", "lifted activations"]
    head += [f"first step / {KERAS}", f"step / {KERAS}", "commit"]
    last = sorted(latest(records), key=lambda r: suite.tasks.index(r["config"]["task"]))
    return "\n".join([ZOO_NOTE, *_table(head, map(_swapped, last))])


def _swapped(record: Record) -> list[str]:
    """The cells of a model of the zoo."""
    summary = record["summary"]
    low, high = summary["quartiles"]
    return [
        record["config"]["task"],
        f"{summary['weights']:,}",
        record["backend"],
        f"{summary['lifted']} of {summary['activations']}",
        _ratio(summary, "first_step", KERAS),
        f"{_ratio(summary, 'step', KERAS)} ({low:.2f} to {high:.2f})",
        short(record["commit"]),
    ]


def _ratio(summary: Record, name: str, whose: str = "Adam's") -> str:
    key = f"{name} / {whose}"
    return f"{summary[key]:.2f}"


SECTIONS: dict[str, Callable[[Suite, list[Record]], str]] = {
    "quality": _quality,
    "cost": _cost,
    "zoo": _zoo,
}


# -- Markdown ---------------------------------------------------------------------


def _spread(values: list[float], form: str) -> str:
    """Mean ± standard deviation; how many failed, where some did."""
    failed = np.sum(~np.isfinite(values))
    if failed:
        return f"{failed} of {len(values)} failed"
    mean = f"{np.mean(values):{form}}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1):{form}}"


def _table(head: list[str], lines: Any) -> list[str]:
    """The lines of a table, and an empty one."""
    cells = [head, ["---"] * len(head), *lines]
    return [*("| " + " | ".join(map(str, each)) + " |" for each in cells), ""]
