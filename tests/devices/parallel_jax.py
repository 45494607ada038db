"""Trains the same networks on one device and on eight; prints the differences.

Run by test_devices.py: the number of devices is fixed when JAX starts.
"""

import json
import sys

import keras
import numpy as np

import keras_lifted as kl

rng = np.random.default_rng(0)
X = rng.normal(size=(128, 16)).astype("float32")
Y = rng.normal(size=(128, 4)).astype("float32")
DEVICES = keras.distribution.list_devices()


def network(stacked):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16,))
    h = keras.layers.Dense(16, activation="tanh", name="first")(inputs)
    if stacked == "dense":
        h = kl.layers.ProximalStack(16, 8, "tanh", residual=True, name="stack")(h)
    elif stacked:
        layers = [keras.layers.LayerNormalization(), keras.layers.Dense(16, "gelu")]
        block = keras.Sequential(layers)
        h = kl.layers.Stack(block, 8, residual=True, name="stack")(h)
    return kl.LiftedModel(inputs, keras.layers.Dense(4, name="out")(h))


def trained(stacked, optimizer, distribution=None):
    keras.distribution.set_distribution(distribution)
    model = network(stacked)
    model.compile(optimizer(), "mse", jit_compile=True)
    fit = {"batch_size": 64, "epochs": 2, "shuffle": False, "verbose": 0}
    losses = model.fit(X, Y, **fit).history["loss"]
    keras.distribution.set_distribution(None)
    return model, losses


def descent(update):
    return lambda: kl.optimizers.BlockCoordinateDescent("adam", lifted_update=update)


def data_parallel():
    mesh = keras.distribution.DeviceMesh((len(DEVICES),), ["batch"], DEVICES)
    return keras.distribution.DataParallel(mesh)


def layer_parallel():
    mesh = keras.distribution.DeviceMesh((1, len(DEVICES)), ["batch", "depth"], DEVICES)
    layout = keras.distribution.LayoutMap(mesh)
    layout["stack.*kernel"] = ("depth", None, None)
    for vector in ("bias", "gamma", "beta"):
        layout[f"stack.*{vector}"] = ("depth", None)
    return keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")


def main():
    at_once = descent(kl.updates.AllAtOnce(2, 1, tolerance=None))
    cases = {
        "data, sweep": ("", descent("sweep"), data_parallel),
        "data, steepest": ("", kl.optimizers.SteepestDescent, data_parallel),
        "layer, sweep": ("dense", descent("sweep"), layer_parallel),
        "layer, all at once": ("dense", at_once, layer_parallel),
        "layer, any block, sweep": ("any", descent("sweep"), layer_parallel),
        "layer, any block, all at once": ("any", at_once, layer_parallel),
    }
    report = {"devices": len(DEVICES)}
    for name, (stacked, optimizer, distribution) in cases.items():
        one, expected = trained(stacked, optimizer)
        many, losses = trained(stacked, optimizer, distribution())
        pairs = zip(one.get_weights(), many.get_weights(), strict=True)
        report[name] = {
            "weights": float(max(np.abs(a - b).max() for a, b in pairs)),
            "loss": float(np.abs(np.subtract(expected, losses)).max()),
            "moved": abs(expected[-1] - expected[0]),
            "shards": [
                [v.path, list(v.value.addressable_shards[0].data.shape)]
                for v in (*many.trainable_variables, *many.optimizer.variables)
                if len(v.shape) == 3
            ],
        }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
