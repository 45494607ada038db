"""Seconds of a step on a GPU from its longest chain of operations: a calibrated model.

    KERAS_BACKEND=jax python lab/chain_model.py

`results/gpu_depth_width_64.json` holds the milliseconds of a step of residual stacks of Dense
layers (width 64, batch 128) on one H100. This script counts the longest chain of dependent
operations in the same steps, as XLA compiles them for a CPU, and fits `t = max(a, c chain)`,
where a is what Keras takes on the host for a step: a the median of steps in rounds, which have
short chains, c that of the loops of depth 64 and more. Unrolled networks are not fitted: their
operations wait for the device one by one, those outside of the chain as well. It says what the
model predicts for stacks of convolutions and transformer blocks (batch 16), which were not
measured on a GPU. A model, not a measurement: the compiler fuses otherwise on a GPU, and an
operation that fills the device takes longer.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import numpy as np

import keras_lifted as kl
from benchmarks import networks
from benchmarks import stack
from benchmarks.dependent_chain import compiled_step
from benchmarks.dependent_chain import longest_chain

MEASURED = "gpu_depth_width_64.json"
WIDTH, BATCH = 64, 128
LOOPS = ("backprop, scanned", "lifted sweep")
ROUNDS = {"lifted 4+2": (4, 2), "lifted 2+1": (2, 1), "lifted 1+1": (1, 1)}


def dense(kind: str, depth: int) -> Any:
    """A compiled stack of Dense layers."""
    lifted = kind.startswith("lifted")
    cls = kl.LiftedModel if lifted else networks.keras.Model
    model = networks.residual_stack(WIDTH, depth, cls)
    optimizer: Any = "adam"
    if kind in ROUNDS:
        update = kl.updates.AllAtOnce(*ROUNDS[kind], tolerance=None)
        optimizer = kl.optimizers.BlockCoordinateDescent("adam", lifted_update=update)
    model.compile(optimizer, "mse", jit_compile=True)
    return model


def chain(model: Any, batch: int) -> int:
    """The longest chain of its training step."""
    x = np.zeros((batch, *model.input_shape[1:]), "float32")
    y = np.zeros((batch, 10), "float32")
    model.train_on_batch(x, y)
    return longest_chain(compiled_step(model, x, y)).length


def main() -> None:
    rows = json.loads((HERE / "results" / MEASURED).read_text())["results"]
    found = [
        (int(depth), kind, cell["ms_per_step"], chain(dense(kind, int(depth)), BATCH))
        for depth, kinds in rows.items()
        for kind, cell in kinds.items()
        if kind != "backprop, unrolled"
    ]
    a = np.median([ms for _, kind, ms, _ in found if kind in ROUNDS])
    loops = [each for each in found if each[0] >= 64 and each[1] in LOOPS]
    c = np.median([ms / length for _, _, ms, length in loops])
    print(f"t = max({a:.3f} ms, {1e3 * c:.2f} us for each operation of the chain)\n")

    def predicted(length: int) -> float:
        return max(a, c * length)

    print("| depth | training | chain | measured, ms | model, ms |\n|---|---|---|---|---|")
    for depth, kind, ms, length in found:
        print(f"| {depth} | {kind} | {length} | {ms:.2f} | {predicted(length):.2f} |")
    print("\n| blocks | depth | training | chain | model, ms | / loop |\n" + "|---" * 6 + "|")
    for block in stack.BLOCKS:
        for depth in (16, 64, 256):
            lengths = {
                way: chain(stack.network(block, depth, way), 16)
                for way in stack.WAYS[1:]
            }
            loop = predicted(lengths["loop"])
            for way, length in lengths.items():
                ms = predicted(length)
                print(
                    f"| {block} | {depth} | {way} | {length} | {ms:.2f} | {ms / loop:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
