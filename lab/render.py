"""Turns reports of the benchmarks into Markdown tables and figures.

    python lab/render.py lab/results/deblurring.json

Writes docs/NAME.md for each report NAME.json and, where it holds curves,
docs/figures/NAME.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import ablation
import accuracy
import autoencoder_inversion
import curves
import denoiser
import depth
import depth_quality
import deterministic
import devices
import inversion
import inversion_memory
import matplotlib
import numpy as np
import step_cost
import tuning_sensitivity
from curves import curve
from curves import elapsed
from curves import parts_of
from rates import ENDING

TABLES = {
    "ablation.py": ablation.table,
    "accuracy.py": accuracy.table,
    "denoiser.py": denoiser.table,
    "autoencoder_inversion.py": autoencoder_inversion.table,
    "depth.py": depth.table,
    "depth_quality.py": depth_quality.table,
    "deterministic.py": deterministic.table,
    "devices.py": devices.table,
    "inversion.py": inversion.table,
    "inversion_memory.py": inversion_memory.table,
    "step_cost.py": step_cost.table,
    "time_to_quality.py": curves.table,
    "tuning_sensitivity.py": tuning_sensitivity.table,
}

# Curves that nearly coincide stay visible.
LINES = ("-", "--", "-.", ":")


def plot(results: dict[str, Any], path: pathlib.Path) -> None:
    """Quality against epochs and seconds: mean, band from worst to best seed.

    A line is one run; of the runs whose rate decays, only the end of each
    horizon is drawn, as a point.
    """
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib import ticker

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    methods = list(dict.fromkeys(run["method"] for run in results["runs"]))
    for method in methods:
        colour = f"C{methods.index(method)}"
        runs = [run for run in results["runs"] if run["method"] == method]
        lasting = [r for r in runs if r["schedule"] not in ENDING]
        ending = [r for r in runs if r["schedule"] in ENDING]
        _curves(axes, lasting, method, colour)
        _points(axes, ending, method, colour)
    axes[0].set(xlabel="epoch", ylabel=results["unit"])
    axes[1].set(xlabel="seconds of training", xscale="log")
    axes[0].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes[1].xaxis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes[1].xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes[1].xaxis.set_minor_formatter(ticker.NullFormatter())
    axes[0].legend(fontsize="x-small")
    for axis in axes:
        axis.grid(alpha=0.3)
    _save(figure, path)


def plot_sweeps(results: dict[str, Any], path: pathlib.Path) -> None:
    """Energy, feed-forward loss and largest gap of every sweep."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    curves = {
        "energy": "energy",
        "loss": "feed-forward loss",
        "largest_gap": "largest gap",
    }
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axis, (key, title) in zip(axes, curves.items(), strict=True):
        for (name, row), line in zip(results.items(), LINES, strict=False):
            sweeps = np.arange(1, len(row[key]) + 1)
            axis.plot(sweeps, row[key], line, label=name.replace("_", " "))
        axis.set(xlabel="sweep", title=title)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize="small")
    _save(figure, path)


def plot_denoiser(results: dict[str, Any], path: pathlib.Path) -> None:
    """PSNR of the first pictures against steps and minutes, a line for each run."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for run, line in zip(results["runs"], LINES, strict=False):
        steps = results["batches"] * np.arange(1, len(run["quality"]) + 1)
        minutes = np.cumsum(run["seconds"])[: len(steps)] / 60.0
        label = f"{run['method']}, {run['schedule']}"
        label += f" {run['rate']:g}" if run["rate"] else ""
        for axis, x in zip(axes, (steps, minutes), strict=True):
            axis.plot(x, run["quality"], line, label=label)
    axes[0].set(xlabel="step", ylabel=results["unit"])
    axes[1].set(xlabel="minutes of training")
    axes[0].legend(fontsize="small")
    for axis in axes:
        axis.grid(alpha=0.3)
    _save(figure, path)


def _save(figure: Any, path: pathlib.Path) -> None:
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _curves(axes: Any, runs: list[dict[str, Any]], method: str, colour: str) -> None:
    for run in runs:
        quality = curve(run, "quality")
        for axis, x in zip(axes, (_epochs(run), elapsed(run)), strict=True):
            axis.plot(x, quality.mean(axis=0), ".-", color=colour, label=method)
            axis.fill_between(
                x, quality.min(axis=0), quality.max(axis=0), color=colour, alpha=0.2
            )


def _points(axes: Any, runs: list[dict[str, Any]], method: str, colour: str) -> None:
    if not runs:
        return
    label = f"{method}, {runs[0]['schedule']}"
    ends = [curve(run, "quality")[:, -1] for run in runs]
    means = np.array([end.mean() for end in ends])
    low = means - [end.min() for end in ends]
    high = [end.max() for end in ends] - means
    places = ([r["epochs"] for r in runs], [elapsed(r)[-1] for r in runs])
    for axis, x in zip(axes, places, strict=True):
        axis.errorbar(x, means, [low, high], fmt="x--", color=colour, label=label)


def _epochs(run: dict[str, Any]) -> np.ndarray:
    parts = parts_of(run)
    return np.arange(1, round(run["epochs"] * parts) + 1) / parts


def render(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Write the table, and the figure if there is one; the Markdown."""
    report = json.loads(path.read_text())
    results, name = report["results"], path.stem
    script = _script(report)
    lines = [f"# {name}", "", TABLES[script](results), ""]
    if script == "deterministic.py":
        plot_sweeps(results, folder / "figures" / f"{name}.svg")
        lines += [f"![Every sweep](figures/{name}.svg)", ""]
    if script == "denoiser.py":
        plot_denoiser(results, folder / "figures" / f"{name}.svg")
        lines += [f"![PSNR against steps and minutes](figures/{name}.svg)", ""]
    if script == "depth_quality.py":
        for depth_, result in results.items():
            plot(result, folder / "figures" / f"{name}_{depth_}.svg")
            lines += [f"![Depth {depth_}](figures/{name}_{depth_}.svg)", ""]
    if script == "time_to_quality.py":
        plot(results, folder / "figures" / f"{name}.svg")
        lines += [f"![Quality against epochs and seconds](figures/{name}.svg)", ""]
    versions = ", ".join(f"{key} {value}" for key, value in report["versions"].items())
    machine = f"{report['cpu_count']} CPU cores"
    if report.get("device", "cpu") != "cpu":
        machine = f"{report['device']}, {machine}"
    lines += [f"`{report['command']}`; {versions}, {machine}.", ""]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text("\n".join(lines))
    return "\n".join(lines)


def _script(report: dict[str, Any]) -> str:
    """The script of a report; the first ones name it in their command alone."""
    return report.get("script") or pathlib.Path(report["command"].split()[1]).name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reports", nargs="+", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, default=HERE / "docs")
    options = parser.parse_args()
    for path in options.reports:
        print(render(path, options.folder))


if __name__ == "__main__":
    main()
