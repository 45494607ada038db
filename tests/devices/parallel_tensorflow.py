"""Trains the same network on one device and on two; prints the differences.

Run by test_devices.py: the number of devices is fixed when TensorFlow starts.
"""

import contextlib
import json
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_lifted as kl

rng = np.random.default_rng(0)
X = rng.normal(size=(128, 16)).astype("float32")
Y = rng.normal(size=(128, 4)).astype("float32")


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16,))
    h = keras.layers.Dense(16, activation="relu")(inputs)
    h = keras.layers.Dense(16, activation="tanh")(h)
    return kl.LiftedModel(inputs, keras.layers.Dense(4)(h))


def trained(optimizer, strategy=None):
    with strategy.scope() if strategy else contextlib.nullcontext():
        model = network()
        # XLA does not compile for several logical CPUs, nor for keras.Model.
        model.compile(optimizer(), "mse", jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(64)
    losses = model.fit(batches, epochs=2, shuffle=False, verbose=0).history["loss"]
    return model.get_weights(), losses


def main():
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    optimizers = {
        "sweep": lambda: kl.optimizers.BlockCoordinateDescent("adam"),
        # The bound by the loss, which replicas do not see, does not matter here.
        "steepest descent": lambda: kl.optimizers.SteepestDescent(
            max_relative_decrease=1e5
        ),
    }
    report = {}
    for name, optimizer in optimizers.items():
        one, expected = trained(optimizer)
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        many, losses = trained(optimizer, strategy)
        report[name] = {
            "replicas": strategy.num_replicas_in_sync,
            "weights": float(max(np.abs(a - b).max() for a, b in zip(one, many))),
            "loss": float(np.abs(np.subtract(expected, losses)).max()),
            "moved": abs(expected[-1] - expected[0]),
        }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
