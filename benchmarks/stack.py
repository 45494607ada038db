"""Measure stacks of convolutions and of transformer blocks, one line for each case.

    KERAS_BACKEND=jax python -m benchmarks.stack --depths 16 64 256

Seconds are those of the processor. `first` is the first training step, compilation
included, `step` the median of further ones, `chain` the longest chain of dependent
operations of the compiled step (JAX alone; see `dependent_chain`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import keras
import numpy as np

import keras_lifted as kl
from benchmarks.dependent_chain import compiled_step, longest_chain

layers = keras.layers
ROUNDS = kl.updates.AllAtOnce(2, 1, tolerance=None)


def convolution(depth: int, channels: int = 16) -> tuple[Any, tuple[int, ...]]:
    """Return a branch of a residual stage, and the shape of its inputs."""
    gain = keras.initializers.Constant(1 / depth)
    block = [
        layers.Conv2D(channels, 3, padding="same", use_bias=False),
        layers.BatchNormalization(gamma_initializer=gain),
        layers.ReLU(),
    ]
    return keras.Sequential(block), (8, 8, channels)


def transformer(depth: int, width: int = 32) -> tuple[Any, tuple[int, ...]]:
    """Return what a block with normalization before each branch adds to its input."""
    small = keras.initializers.VarianceScaling(1 / depth**2, "fan_avg")
    x = keras.Input((None, width))
    h = layers.LayerNormalization()(x)
    attended = layers.MultiHeadAttention(4, width // 4, kernel_initializer=small)(h, h)
    h = layers.LayerNormalization()(layers.Add()([x, attended]))
    h = layers.Dense(2 * width, "gelu")(h)
    h = layers.Dense(width, kernel_initializer=small)(h)
    return keras.Model(x, layers.Add()([attended, h])), (16, width)


BLOCKS = {"convolution": convolution, "transformer": transformer}
WAYS = ("unrolled", "loop", "lifted_sweep", "lifted_rounds")


def network(kind: str, depth: int, way: str) -> Any:
    """Return a compiled model."""
    keras.utils.set_random_seed(0)
    block, shape = BLOCKS[kind](depth)
    inputs = h = keras.Input(shape)
    stack = kl.layers.Stack(block, depth, residual=True)
    if way == "unrolled":
        stack.build((None, *shape))
        for each in stack.get_blocks():
            h = layers.Add()([h, each(h)])
    else:
        h = stack(h)
    outputs = layers.Dense(10)(layers.Flatten()(h))
    optimizer: Any = keras.optimizers.Adam()
    if way.startswith("lifted"):
        update = ROUNDS if way == "lifted_rounds" else "sweep"
        optimizer = kl.optimizers.BlockCoordinateDescent(
            optimizer, lifted_update=update
        )
    model = (kl.LiftedModel if way.startswith("lifted") else keras.Model)(
        inputs, outputs
    )
    model.compile(optimizer, "mse", jit_compile=True)
    return model


def measured(kind: str, depth: int, way: str, steps: int) -> dict[str, Any]:
    """Return seconds and counts of one case."""
    model = network(kind, depth, way)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, *model.input_shape[1:])).astype("float32")
    y = rng.normal(size=(16, 10)).astype("float32")
    seconds = []
    for _ in range(1 + steps):
        start = time.process_time()
        model.train_on_batch(x, y)
        seconds.append(time.process_time() - start)
    found = {
        "block": kind,
        "depth": depth,
        "way": way,
        "backend": keras.backend.backend(),
        "first": round(seconds[0], 2),
    }
    if steps:
        found["step"] = round(statistics.median(seconds[1:]), 4)
    if keras.backend.backend() == "jax":
        chain = longest_chain(compiled_step(model, x, y))
        found["chain"] = chain.length
        found["loops_of_unknown_length"] = chain.loops_of_unknown_length
    return found


def main() -> None:
    """Measure the cases that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", nargs="+", choices=BLOCKS, default=list(BLOCKS))
    parser.add_argument("--depths", nargs="+", type=int, default=[16, 64])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS[1:]))
    parser.add_argument("--steps", type=int, default=10)
    given = parser.parse_args()
    for kind in given.blocks:
        for way in given.ways:
            measured(kind, 2, way, 0)  # what a first compilation costs besides
            for depth in given.depths:
                print(json.dumps(measured(kind, depth, way, given.steps)), flush=True)


if __name__ == "__main__":
    main()
