"""Layers over several devices: what is sent, and what each one holds.

    python lab/devices.py     # on JAX, with eight virtual devices

The same residual stack, its layers sharded over virtual CPU devices by
`keras.distribution.ModelParallel`, trained by backprop and lifted. Bytes and
operations are those of the collectives in the compiled step, memory is XLA's own
account of it; nothing is timed, as virtual devices share the same cores. A second
table shards the batch instead, the layers being whole on every device.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if __name__ == "__main__":  # nothing of it for those who import the table
    os.environ.setdefault("KERAS_BACKEND", "jax")
    flag = "--xla_force_host_platform_device_count=8"
    os.environ.setdefault("XLA_FLAGS", flag)
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import keras
import numpy as np
from collectives import traffic
from depth import CLASSES
from depth import by_depth
from depth import compiled
from depth import network

import keras_lifted as kl

SHARDED = ("layers", "batch")


def distribution(sharded: str) -> Any:
    """Layers of the stack, or samples of the batch, over all devices."""
    devices = keras.distribution.list_devices()
    if sharded == "batch":
        mesh = keras.distribution.DeviceMesh((len(devices),), ["batch"], devices)
        return keras.distribution.DataParallel(mesh)
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ["batch", "depth"], devices)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*stack.*kernel"] = ("depth", None, None)
    for vector in ("bias", "gamma", "beta"):
        layout[f".*stack.*{vector}"] = ("depth", None)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def any_block(width: int, depth: int) -> tuple[Any, Any]:
    """Inputs and outputs of a general `Stack`; branches shrink with the depth."""
    small = keras.initializers.VarianceScaling(1.0 / depth, "fan_avg", "uniform")
    block = keras.Sequential(
        [
            keras.layers.LayerNormalization(),
            keras.layers.Dense(width, "gelu", kernel_initializer=small),
        ]
    )
    inputs = keras.Input((width,))
    h = kl.layers.Stack(block, depth, residual=True, name="stack")(inputs)
    return inputs, keras.layers.Dense(CLASSES)(h)


def program(kind: str, depth: int, sharded: str, options: Any) -> Any:
    """The compiled step of a model, for one device or for all."""
    import jax

    where = distribution(sharded) if sharded else None
    keras.distribution.set_distribution(where)
    keras.utils.set_random_seed(0)
    if options.block == "any":
        ends = any_block(options.width, depth)
    else:
        ends = network(kind, options.width, depth, True)
    model = compiled(kind, *ends, "adam")
    x = np.zeros((options.batch, options.width), "float32")
    y = np.arange(options.batch) % CLASSES
    model.train_on_batch(x, y)
    state = [
        [v.value for v in variables]
        for variables in (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
    ]
    data = (x, y)
    if where is not None:
        data = tuple(
            jax.device_put(each, where.get_data_layout(each.shape).backend_layout)
            for each in data
        )
    step = jax.jit(model.train_step, donate_argnums=0)
    result = step.lower(tuple(state), data).compile()
    keras.distribution.set_distribution(None)
    return result


def measure(depth: int, options: Any) -> dict[str, Any]:
    """One row for each kind of training and of sharding."""
    devices = len(keras.distribution.list_devices())
    if devices < 2:
        raise ValueError(
            "Expected several devices, for example XLA_FLAGS="
            f"--xla_force_host_platform_device_count=8. Received: {devices}."
        )
    rows: dict[str, Any] = {}
    for kind in options.kinds.split(";"):
        rows[kind] = {"one": _memory(program(kind, depth, "", options))}
        for sharded in SHARDED:
            shared = program(kind, depth, sharded, options)
            sent = traffic(shared.as_text(), devices)
            rows[kind][sharded] = {**sent._asdict(), **_memory(shared)}
    return rows


def _memory(program: Any) -> dict[str, int]:
    memory = program.memory_analysis()
    return {
        "state": int(memory.argument_size_in_bytes),
        "temporary": int(memory.temp_size_in_bytes),
    }


def table(results: dict[str, Any]) -> str:
    """Markdown: per device and step, layers sharded and then the batch."""
    blocks = []
    for sharded in SHARDED:
        lines = [
            f"| {sharded} sharded: depth | training | sent, KiB | operations | "
            "state / one device's | temporary / one device's |",
            "|---" * 6 + "|",
        ]
        for depth, rows in results.items():
            for kind, row in rows.items():
                here, one = row[sharded], row["one"]
                lines.append(
                    f"| {depth} | {kind} | {here['bytes'] / 1024:.0f} | "
                    f"{here['operations']:.0f} | {here['state'] / one['state']:.2f} | "
                    f"{here['temporary'] / one['temporary']:.2f} |"
                )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", default="16,64,256")
    parser.add_argument("--block", choices=("dense", "any"), default="dense")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument(
        "--kinds",
        default="backprop, scanned;lifted sweep;lifted 1+1;lifted 2+1;lifted 4+2",
    )
    parser.add_argument("--output", default="")
    by_depth(parser.parse_args(), "devices.py", measure, table)


if __name__ == "__main__":
    main()
