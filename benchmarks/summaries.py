"""Turns records of runs into rows: rates chosen, seeds averaged."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np

from benchmarks.methods import METHODS
from benchmarks.store import Record
from benchmarks.tasks import TASKS

Key = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Row:
    """What a method reached on a task in so many epochs, at its best rate.

    Attributes:
        task: str. The name of the task.
        samples: int. For training.
        epochs: int. Of every run.
        method: str. The method, its arguments, and where it ran.
        ours: bool. Whether the method is this library's.
        rate: float or None. The best learning rate, where it was searched.
        qualities: list. One a seed, NaN where training failed.
        losses: list. On the test set, likewise.
        seconds: float. Mean of training, the first step left out.
        first_step: float. Seconds.
        commit: str. Of the runs.
    """

    task: str
    samples: int
    epochs: int
    method: str
    ours: bool
    rate: float | None
    qualities: list[float]
    losses: list[float]
    seconds: float
    first_step: float
    commit: str

    @property
    def score(self) -> float:
        """The mean quality, negative where lower is better."""
        return TASKS[self.task].score(float(np.mean(self.qualities)))


def latest(records: list[Record]) -> list[Record]:
    """Return the last record of every configuration on a backend and device.

    Of this library's methods those of a row's newest commit only: no row mixes two.
    """
    newest = {_row_of(record): record["commit"] for record in records}
    last = {}
    for record in records:
        ours = METHODS[record["config"]["method"]].ours
        if not ours or record["commit"] == newest[_row_of(record)]:
            config = json.dumps(record["config"], sort_keys=True)
            last[config, record["backend"], record["device"]] = record
    return list(last.values())


def label(record: Record) -> str:
    """Return a method with its arguments, and where it ran unless on JAX's CPU."""
    config = record["config"]
    arguments = [f"{k}={v}" for k, v in config["arguments"].items()]
    place = [record["backend"]] if record["backend"] != "jax" else []
    place += [record["device"]] if record["device"] != "cpu" else []
    return ", ".join([config["method"], *arguments, *place])


def rows(records: list[Record]) -> list[Row]:
    """Return a row for each task, number of samples and epochs, and method."""
    groups: dict[Key, list[Record]] = {}
    for record in latest(records):
        groups.setdefault(_row_of(record), []).append(record)
    return [_row(key, group) for key, group in groups.items()]


def _row_of(record: Record) -> Key:
    """Task, samples, epochs and method: what the records of a row share."""
    config = record["config"]
    sizes = config.get("samples"), config.get("epochs")
    return (config["measure"], config["task"], *sizes, label(record))


def _row(key: Key, group: list[Record]) -> Row:
    """Choose the rate with seed 0, and keep all seeds of that rate."""
    _, task, samples, epochs, method = key
    first = [r for r in group if r["config"]["seed"] == 0]
    best = max(first, key=lambda r: TASKS[task].choice(r["summary"]))
    seeds = [r for r in group if r["config"]["rate"] == best["config"]["rate"]]
    return Row(
        task,
        samples,
        epochs,
        method,
        ours=METHODS[best["config"]["method"]].ours,
        rate=best["config"]["rate"],
        qualities=[r["summary"].get("quality", np.nan) for r in seeds],
        losses=[r["summary"].get("loss", np.nan) for r in seeds],
        seconds=float(np.mean([r["seconds"] for r in seeds])),
        first_step=best["first_step"],
        commit=short(best["commit"]),
    )


def short(commit: str) -> str:
    """Return nine digits of a commit, and whether there were changes."""
    return commit[:9] + commit[40:]
