"""Draws the pictures of docs/examples.md.

    python lab/gallery.py --weights encoder.weights.h5

Runs tutorials 04 and 06, and inverts codes of test images of Fashion-MNIST with the
settings that `--report`, of autoencoder_inversion.py, found. The other pictures are
scikit-image's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import runpy
import sys
import tempfile
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import autoencoder_inversion as inversion
import data
import matplotlib
import numpy as np
from autoencoder import trained
from keras import ops

import keras_lifted as kl

matplotlib.use("Agg")
from matplotlib import pyplot as plt

RESULTS = HERE / "results"
REPORT = RESULTS / "autoencoder_inversion_fashion_mnist.json"
NAMES = ("invert", "adam")
Rows = dict[str, np.ndarray]


def psnr(row: np.ndarray, true: np.ndarray) -> float:
    """Mean PSNR of images `(count, height, width)`."""
    found = kl.imaging.psnr(row[..., None], true[..., None])
    return float(np.mean(ops.convert_to_numpy(found)))


def draw(rows: Rows, path: pathlib.Path, size: float) -> None:
    """Rows of images, a title beside each; single images side by side below theirs."""
    count = len(next(iter(rows.values())))
    shape = (len(rows), count) if count > 1 else (1, len(rows))
    width, height = size * shape[1], size * shape[0]
    figure, axes = plt.subplots(*shape, figsize=(width, height), squeeze=False)
    images = [image for row in rows.values() for image in row]
    true, *others = rows.items()
    rows = dict([true]) | {
        f"{t}\n{psnr(row, true[1]):.1f} dB": row for t, row in others
    }
    for axis, image in zip(axes.flat, images, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
    for title, axis in zip(rows, axes[:, 0] if count > 1 else axes[0], strict=True):
        (axis.set_ylabel if count > 1 else axis.set_title)(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=120, bbox_inches="tight", metadata={"Software": None})
    plt.close(figure)


def encoder(report: dict[str, Any], weights: str, count: int) -> Rows:
    """True images and their reconstructions, one start each."""
    results, cell = report["results"], report["results"]["cells"][0]
    (train, _), (test, _) = data.images(results["data"])
    model, decoder = trained(train[: -inversion.HELD_OUT], 5, 0, weights)
    images = test[:count]
    y = inversion.codes(model, images, cell["noise"])
    (start,) = inversion.beginnings(count, 1, 0)
    chosen = {name: (cell[name]["alpha"], cell[name]["step"]) for name in NAMES}
    invert = inversion.lifted(model, float(cell["weight"]), results["steps"])
    other = inversion.descent(model, cell["adam"]["iterations"])
    rows = {
        "true": images,
        "kl.invert": invert(y, start, *chosen["invert"]),
        "Adam": other(y, start, *chosen["adam"]),
        "decoder": ops.convert_to_numpy(decoder(y)),
    }
    return {name: each[..., 0] for name, each in rows.items()}


def perceptron() -> Rows:
    """The phantom of tutorial 04 and its inversions."""
    found = runpy.run_path(str(ROOT / "tutorials" / "04_inverting_a_perceptron.py"))
    titles = ("true", "no noise", "noise, rule", "noise, in [0, 1]")
    images = [found["clean"], *(found[k].x for k in ("exact", "by_rule", "boxed"))]
    return {t: x[..., 0] for t, x in zip(titles, images, strict=True)}


def restoration() -> Rows:
    """The picture of tutorial 06, noisy and restored."""
    found = runpy.run_path(str(ROOT / "tutorials" / "06_restoration.py"))
    keys = {"true": "clean_test", "noisy": "noisy_test", "restored": "restored"}
    return {title: np.asarray(found[key])[..., 0] for title, key in keys.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="")
    parser.add_argument("--report", type=pathlib.Path, default=REPORT)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "docs/figures")
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # the tutorials read theirs
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    report = json.loads(options.report.read_text())
    rows = encoder(report, options.weights, options.count)
    draw(rows, folder / "gallery_encoder.png", 0.8)
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        draw(perceptron(), folder / "gallery_perceptron.png", 2.0)
        draw(restoration(), folder / "gallery_restoration.png", 2.2)


if __name__ == "__main__":
    main()
