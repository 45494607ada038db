"""Quality of deep stacks: backprop through the loop, and blocks all at once in rounds.

    KERAS_BACKEND=tensorflow python lab/stack_quality.py --block convolution --depth 64 \\
        --ways loop 2+1 4+2 --methods adam:0.001 steepest_descent

Fashion-MNIST: a residual stage of 16 channels and an encoder of 49 patches classify,
a residual denoiser (noise of 0.2, on 14 x 14 positions, FFDNet's arrangement) restores.
Blocks are those of `benchmarks.stack`, but what each adds to the stream is multiplied by
`--multiplier` / depth, which training cannot change. One JSON line a run: quality on held-out and on
test samples after every epoch, and seconds of the processor. `--chain` trains nothing and
counts the longest chain of dependent operations of each step instead (JAX).
An unrolled network takes the same steps as the loop, so it has the same quality.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import pathlib
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import keras
import numpy as np
from methods import in_rounds

import keras_lifted as kl
from benchmarks import data
from benchmarks import tasks
from benchmarks.dependent_chain import compiled_step
from benchmarks.dependent_chain import longest_chain

layers = keras.layers
NOISE = 0.2


def convolution(depth: int, multiplier: float) -> keras.Model:
    """The branch of `benchmarks.stack`, times a constant."""
    block = [
        layers.Conv2D(16, 3, padding="same", use_bias=False),
        layers.BatchNormalization(momentum=0.9, scale=False),
        layers.ReLU(),
        layers.Rescaling(multiplier / depth),
    ]
    return keras.Sequential(block)


def transformer(depth: int, multiplier: float, width: int = 32) -> keras.Model:
    """The branch of `benchmarks.stack`, each part times a constant."""
    x = keras.Input((None, width))
    scale = layers.Rescaling(multiplier / depth)
    h = layers.LayerNormalization()(x)
    attended = scale(layers.MultiHeadAttention(4, width // 4)(h, h))
    h = layers.LayerNormalization()(layers.Add()([x, attended]))
    h = layers.Dense(width)(layers.Dense(2 * width, "gelu")(h))
    return keras.Model(x, layers.Add()([attended, scale(h)]))


def network(block: str, depth: int, way: str, multiplier: float) -> keras.Model:
    """Stem, stack and head; `way` is "loop", "unrolled", "sweep", or rounds: "2+1"."""
    inputs = keras.Input((28, 28, 1))
    if block == "transformer":
        branch = transformer(depth, multiplier)
        h = layers.Conv2D(32, 4, 4)(inputs)
        h = layers.EinsumDense("bpi,ij->bpj", (49, 32), bias_axes="pj")(
            layers.Reshape((49, 32))(h)
        )
        h = layers.LayerNormalization()(h)
    else:
        branch = convolution(depth, multiplier)
        stride = 2 if block == "denoiser" else 4
        h = layers.Conv2D(16, stride, stride)(inputs)
        h = layers.BatchNormalization(momentum=0.9)(h)
    if way == "unrolled":
        folded = kl.layers.Stack(branch, depth, residual=True)
        folded.build((None, *h.shape[1:]))
        for each in folded.get_blocks():
            h = layers.Add()([h, each(h)])
    else:
        h = kl.layers.Stack(branch, depth, residual=True)(h)
    if block == "transformer":
        h = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(h))
    elif block == "convolution":
        h = layers.GlobalAveragePooling2D()(h)
    if block == "denoiser":
        noise = layers.Conv2DTranspose(1, 2, 2, kernel_initializer="zeros")(h)
        outputs = layers.Subtract()([inputs, noise])
    else:
        outputs = layers.Dense(10)(h)
    cls = keras.Model if way in ("loop", "unrolled") else kl.LiftedModel
    return cls(inputs, outputs)


def compiled(options: Any, way: str, method: str, steps: int) -> keras.Model:
    """A model ready to train; `method` is "adam:RATE" or "steepest_descent", with or without one."""
    keras.utils.set_random_seed(options.seed)
    model = network(options.block, options.depth, way, options.multiplier)
    name, _, rate = method.partition(":")
    if name == "adam":
        decay = keras.optimizers.schedules.PolynomialDecay(float(rate), steps, 0.0)
        optimizer: Any = keras.optimizers.Adam(decay)
    else:
        optimizer = kl.optimizers.SteepestDescent(
            float(rate) if rate else None, decay=steps
        )
    if way not in ("loop", "unrolled"):
        update = kl.updates.Sweep() if way == "sweep" else in_rounds(way)
        optimizer = kl.optimizers.BlockCoordinateDescent(
            optimizer, lifted_update=update
        )
    loss: Any = "mse"
    if options.block != "denoiser":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    return model


def load(options: Any) -> data.Data:
    """Images and labels, or noisy images and clean ones."""
    found = data.labelled("fashion_mnist", options.samples)
    found = data.Data(*((x[:4000], y[:4000]) for x, y in found))
    if options.block != "denoiser":
        return found
    rng = np.random.default_rng(0)

    def noisy(x: np.ndarray) -> data.Arrays:
        return x + rng.normal(scale=NOISE, size=x.shape).astype("float32"), x

    return data.Data(*(noisy(x) for x, _ in found))


class Judge(keras.callbacks.Callback):
    """Quality after every epoch, and the seconds of training till then."""

    def __init__(self, options: Any, found: data.Data) -> None:
        super().__init__()
        self.quality = tasks.psnr if options.block == "denoiser" else tasks.accuracy
        self.parts = {"validation": found.validation, "test": found.test}
        self.kept: dict[str, list[float]] = {"seconds": [], "validation": [], "test": []}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.kept["seconds"].append(round(time.process_time() - self.start, 2))
        for name, (x, y) in self.parts.items():
            guess = self.model.predict(x, batch_size=500, verbose=0)
            self.kept[name].append(round(self.quality(guess, y), 3))


def train(options: Any, way: str, method: str, found: data.Data) -> dict[str, Any]:
    """One run."""
    x, y = found.train
    n = len(x) // options.batch * options.batch
    steps = options.epochs * n // options.batch
    model, judge = compiled(options, way, method, steps), Judge(options, found)
    model.fit(
        x[:n],
        y[:n],
        batch_size=options.batch,
        epochs=options.epochs,
        verbose=0,
        callbacks=[judge, keras.callbacks.TerminateOnNaN()],
    )
    return judge.kept


def count(options: Any, way: str, method: str) -> dict[str, Any]:
    """The longest chain of a step."""
    model = compiled(options, way, method, 100)
    x = np.zeros((options.batch, 28, 28, 1), "float32")
    y = x if options.block == "denoiser" else np.zeros(options.batch, "int32")
    model.train_on_batch(x, y)
    return {"chain": longest_chain(compiled_step(model, x, y)).length}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--block", choices=("convolution", "transformer", "denoiser"), required=True
    )
    parser.add_argument("--depth", type=int, required=True)
    parser.add_argument("--ways", nargs="+", default=["loop", "2+1"])
    parser.add_argument("--methods", nargs="+", default=["adam:0.002"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--multiplier", type=float, default=1.0)
    parser.add_argument("--chain", action="store_true")
    options = parser.parse_args()
    found = None if options.chain else load(options)
    for way, method in itertools.product(options.ways, options.methods):
        case = {
            **{"block": options.block, "depth": options.depth, "way": way},
            **{"method": method, "seed": options.seed},
            "multiplier": options.multiplier,
        }
        if found is None:
            case.update(count(options, way, method))
        else:
            case.update(train(options, way, method, found))
        print(json.dumps(case), flush=True)


if __name__ == "__main__":
    main()
