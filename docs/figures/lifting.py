"""Draws docs/figures/lifting.png: what lifting changes in a network.

python docs/figures/lifting.py
"""

from __future__ import annotations

import pathlib

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

HERE = pathlib.Path(__file__).resolve().parent
BLUE, RED, GREY = "#3b6fb6", "#c8553d", "#666666"


def box(axes: Axes, x: float, y: float, text: str, color: str) -> None:
    """Draw a box with its centre at (x, y)."""
    patch = FancyBboxPatch(
        (x - 0.42, y - 0.3), 0.84, 0.6, "round,pad=0.04", fc="white", ec=color, lw=1.8
    )
    axes.add_patch(patch)
    axes.text(x, y, text, ha="center", va="center", fontsize=12)


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str
) -> None:
    """Draw an arrow."""
    style = {"arrowstyle": "-|>", "color": color, "lw": 1.8}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)


def backpropagation(axes: Axes) -> None:
    """One path forward through all blocks, and one back."""
    axes.set_title("Backpropagation: one path through all blocks", fontsize=12)
    names = ["$x_0$", "$z_1$", "$z_2$", "$z_3$", "loss"]
    for i, name in enumerate(names):
        box(axes, 2 * i, 1.2, name, GREY if i in (0, 4) else BLUE)
    for i in range(4):
        arrow(axes, (2 * i + 0.5, 1.32), (2 * i + 1.5, 1.32), GREY)
        arrow(axes, (2 * i + 1.5, 1.06), (2 * i + 0.5, 1.06), RED)
    axes.text(4, 0.15, "derivatives pass through every block", ha="center", color=RED)


def lifting(axes: Axes) -> None:
    """Each block between an input and a target of its own."""
    axes.set_title("Lifting: every block has its own input and target", fontsize=12)
    names = ["$z_1$", "$z_2$", "$z_3$", "loss"]
    box(axes, 0, 1.2, "$x_0$", GREY)
    for i, name in enumerate(names):
        box(axes, 2 * i + 2, 1.2, name, BLUE if i < 3 else GREY)
    arrow(axes, (0.5, 1.2), (1.5, 1.2), GREY)
    arrow(axes, (6.5, 1.2), (7.5, 1.2), GREY)
    for i in (1, 2):
        box(axes, 2 * i + 1, -0.2, f"$x_{i}$", RED)
        arrow(axes, (2 * i + 0.7, 0.15), (2 * i + 0.2, 0.85), RED)
        arrow(axes, (2 * i + 1.3, 0.15), (2 * i + 1.8, 0.85), GREY)
    axes.text(2.35, 0.4, "target of block 1", ha="right", color=RED, fontsize=9)
    axes.text(5.65, 0.4, "input of block 3", ha="left", color=GREY, fontsize=9)
    told = "lifted variables $x_l$, tied to $z_l$ by a penalty"
    axes.text(4.0, -1.0, told, ha="center", color=RED)


def main() -> None:
    """Draw both."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 3.1))
    backpropagation(left)
    lifting(right)
    for axes in (left, right):
        axes.set_xlim(-0.7, 8.7)
        axes.set_ylim(-1.25, 1.9)
        axes.axis("off")
    figure.tight_layout()
    figure.savefig(HERE / "lifting.png", dpi=110)


if __name__ == "__main__":
    main()
