"""Trains one network by backprop and by lifting, and compares the two.

    python benchmarks/demo.py                        # or: make demo
    KERAS_BACKEND=jax python benchmarks/demo.py

Same seed, data, batches and compiler; Adam at its default rate, and SteepestDescent at
its own. Prints a table; writes the learning curves and TensorBoard logs to
demo_output/.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import keras
import matplotlib
import numpy as np

import keras_lifted as kl
from benchmarks.data import images
from benchmarks.timing import STEPS, WARM_UP, in_turn, now

Data = tuple[np.ndarray, np.ndarray]

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "backprop": lambda: "adam",
    "lifted, sweep": lambda: "adam",
    "lifted, 3 proximal steps": lambda: kl.optimizers.BlockCoordinateDescent(
        "adam",
        penalty=kl.penalties.Bregman(weight=10.0),
        lifted_update=kl.updates.ProximalGradient(steps=3),
    ),
    "lifted, SteepestDescent": kl.optimizers.SteepestDescent,
}


class EpochTimer(keras.callbacks.Callback):
    """Seconds of each training epoch, by `now`; validation and callbacks left out."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = now()

    def on_test_begin(self, logs: Any = None) -> None:
        self.seconds.append(now() - self._start)


def fashion_mnist() -> tuple[Data, Data]:
    """Fashion-MNIST through TensorFlow Datasets, in [0, 1]."""
    train, test = images("fashion_mnist")
    return _flat(*train, 1.0), _flat(*test, 1.0)


def digits() -> tuple[Data, Data]:
    """The 1,797 small digits that scikit-learn ships, one in five for testing."""
    from sklearn import datasets

    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    test, train = np.split(order, [len(x) // 5])
    return _flat(x[train], y[train], 16.0), _flat(x[test], y[test], 16.0)


def _flat(x: np.ndarray, y: np.ndarray, largest: float) -> Data:
    return x.reshape(len(x), -1).astype("float32") / np.float32(largest), y


def load(only_digits: bool) -> tuple[str, tuple[Data, Data]]:
    """The name of the data, and the training and test sets."""
    if not only_digits:
        try:
            return "Fashion-MNIST", fashion_mnist()
        except Exception as error:  # tfds raises whatever its downloader does
            print(
                f"tfds.load('fashion_mnist') failed ({type(error).__name__}): no "
                "network and nothing prepared? Using scikit-learn's digits instead."
            )
    return "digits", digits()


def build(name: str, features: int, widths: list[int]) -> keras.Model:
    """The network, from the same seed for every name."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((features,))
    h = inputs
    for i, width in enumerate(widths):
        h = keras.layers.Dense(width, activation="relu", name=f"relu_{i + 1}")(h)
    outputs = keras.layers.Dense(10, name="logits")(h)
    model_class = keras.Model if name == "backprop" else kl.LiftedModel
    model = model_class(inputs, outputs)
    model.compile(
        optimizer=OPTIMIZERS[name](),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    return model


def train(
    name: str,
    model: keras.Model,
    data: tuple[Data, Data],
    options: argparse.Namespace,
) -> dict[str, list[float]]:
    """Fit with Keras's progress bar; the history, with seconds per epoch."""
    (x, y), test = data
    logs = pathlib.Path(options.output) / "logs" / name.replace(", ", "_")
    timer = EpochTimer()
    callbacks = [timer, keras.callbacks.TensorBoard(logs)]
    if isinstance(model, kl.LiftedModel):
        callbacks.append(kl.callbacks.LiftedTensorBoard(logs))
    keras.utils.set_random_seed(1)  # the same batches for every model
    print(f"\n{name}")
    history = model.fit(
        x,
        y,
        batch_size=options.batch,
        epochs=options.epochs,
        validation_data=test,
        callbacks=callbacks,
    )
    return {**history.history, "seconds": timer.seconds}


def step_ratios(
    models: dict[str, keras.Model], data: Data, batch: int
) -> dict[str, np.ndarray]:
    """Quartiles of the time of a training step over backprop's, in turn."""
    rows = np.arange((WARM_UP + STEPS) * batch) % len(data[0])
    x, y = data[0][rows], data[1][rows]
    times = in_turn(list(models.values()), x, y, batch)
    backprop = times[:, list(models).index("backprop")]
    return {
        name: np.percentile(times[:, i] / backprop, [25, 50, 75])
        for i, name in enumerate(models)
    }


def table(
    histories: dict[str, dict[str, list[float]]], ratios: dict[str, np.ndarray]
) -> str:
    """The results, in Markdown."""
    lines = [
        "| training | test accuracy | test loss | first epoch | later epochs | "
        "step / backprop step |",
        "|---|---|---|---|---|---|",
    ]
    for name, history in histories.items():
        low, middle, high = ratios[name]
        first, *later = history["seconds"]
        lines.append(
            f"| {name} | {100 * history['val_accuracy'][-1]:.2f} % "
            f"| {history['val_loss'][-1]:.4f} | {first:.2f} s "
            f"| {np.median(later or [first]):.2f} s "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines)


def plot(
    title: str, histories: dict[str, dict[str, list[float]]], path: pathlib.Path
) -> None:
    """Training loss and test accuracy by epoch, test accuracy by time."""
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for name, history in histories.items():
        seconds = np.cumsum(history["seconds"])
        epochs = np.arange(1, len(seconds) + 1)
        axes[0].plot(epochs, history["loss"], marker=".", label=name)
        axes[1].plot(epochs, history["val_accuracy"], marker=".")
        axes[2].plot(seconds, history["val_accuracy"], marker=".")
    axes[0].set(xlabel="epoch", ylabel="training loss")
    axes[1].set(xlabel="epoch", ylabel="test accuracy")
    axes[2].set(
        xlabel="seconds of training, compilation included", ylabel="test accuracy"
    )
    axes[0].legend()
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Train, time, and write everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--digits", action="store_true", help="the small offline data")
    parser.add_argument("--epochs", type=int, help="default: 5, digits 30")
    # It divides 60,000: a last, smaller batch would compile once more.
    parser.add_argument("--batch", type=int, default=120)
    parser.add_argument("--output", default="demo_output")
    options = parser.parse_args()
    start = time.perf_counter()
    name, data = load(options.digits)
    options.epochs = options.epochs or (5 if name == "Fashion-MNIST" else 30)
    output = pathlib.Path(options.output)
    output.mkdir(parents=True, exist_ok=True)

    (x, y), (x_test, _) = data
    models = {key: build(key, x.shape[1], [256, 256, 256]) for key in OPTIMIZERS}
    histories = {key: train(key, m, data, options) for key, m in models.items()}
    print("\nTiming training steps of all in turn ...")
    ratios = step_ratios(models, (x, y), options.batch)

    title = (
        f"{name}, {x.shape[1]}-256-256-256-10 ReLU, batch {options.batch}, "
        f"{options.epochs} epochs; Adam unless named otherwise"
    )
    plot(title, histories, output / "learning_curves.png")
    print(
        f"\n{title}; Keras {keras.version()}, {keras.backend.backend()}, "
        f"{os.cpu_count()} CPU cores\n\n{table(histories, ratios)}\n\n"
        "First epochs include compilation; later epochs are their median; the step "
        "ratio is\nthe median (quartiles) of runs of all in turn. Seconds are of the "
        "processor on a CPU.\n\n"
        f"Learning curves: {output / 'learning_curves.png'}\n"
        f"TensorBoard:     tensorboard --logdir {output / 'logs'}\n"
        f"Total time:      {time.perf_counter() - start:.0f} s"
    )


if __name__ == "__main__":
    main()
