"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from benchmarks import readme, report, runner, store, swap
from benchmarks.methods import METHODS
from benchmarks.suites import SUITES
from benchmarks.tasks import TASKS


def names(text: str) -> list[str]:
    """Split at commas."""
    return text.split(",")


def parser() -> argparse.ArgumentParser:
    """Return the parser of `run` and `report`."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Tasks: {', '.join(TASKS)}. Methods: {', '.join(METHODS)}.",
    )
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure a suite")
    run.add_argument("suite", choices=list(SUITES))
    run.add_argument("--tasks", type=names, help="instead of the suite's")
    run.add_argument("--methods", type=names, help="instead of the suite's")
    run.add_argument("--seeds", type=int, help="instead of the suite's")
    run.add_argument("--epochs", type=names, help="instead of each task's")
    run.add_argument("--samples", type=int, help="for training")
    run.add_argument("--rate", type=float, help="learning rate, instead of a search")
    run.add_argument(
        "--arguments", type=json.loads, default={}, help="of our methods, in JSON"
    )
    run.add_argument("--again", action="store_true", help="though there is a result")
    write = commands.add_parser("report", help="write the page and README's table")
    write.add_argument(
        "--page", type=pathlib.Path, default=store.ROOT / "docs" / "benchmarks.md"
    )
    for command in (run, write):
        command.add_argument("--results", type=pathlib.Path, default=store.RUNS)
    return top


def run(options: argparse.Namespace) -> None:
    """Measure a suite."""
    suite = SUITES[options.suite]
    methods = options.methods or list(suite.methods)
    worker = runner.Runner(options.results, options.again)
    for task in options.tasks or suite.tasks:
        if suite.measure == "cost":
            runner.cost(worker, task, methods, arguments=options.arguments)
            continue
        if suite.measure == "zoo":
            swap.swap(worker, task)
            continue
        for method in methods:
            for epochs in options.epochs or TASKS[task].epochs:
                runner.quality(
                    worker,
                    task,
                    method,
                    epochs=int(epochs),
                    seeds=options.seeds or suite.seeds,
                    arguments=options.arguments if METHODS[method].ours else {},
                    samples=options.samples or TASKS[task].samples,
                    rate=options.rate,
                )


def main() -> None:
    """Do what the command line asks for."""
    options = parser().parse_args()
    if options.command == "run":
        run(options)
    else:
        records = store.load(options.results)
        options.page.write_text(report.page(records))
        readme.write(records)
        print(options.page, readme.README)


if __name__ == "__main__":
    main()
