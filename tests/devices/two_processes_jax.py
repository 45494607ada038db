"""One of two processes that train a network together; prints what it learned.

    python two_processes_jax.py PORT 0 & python two_processes_jax.py PORT 1

Run by test_devices.py. Without arguments, one process trains alone.
"""

import json
import sys

import keras
import numpy as np

import keras_lifted as kl

rng = np.random.default_rng(0)
X = rng.normal(size=(2, 2, 32, 16)).astype("float32")  # batch, process, sample, pixel
Y = rng.normal(size=(2, 2, 32, 4)).astype("float32")


def join(port, process):
    """Share the samples of every batch with the other process."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(f"127.0.0.1:{port}", 2, process)
    distribution = keras.distribution.DataParallel(
        devices=keras.distribution.list_devices(), auto_shard_dataset=False
    )
    keras.distribution.set_distribution(distribution)


def main():
    x, y, batch = X, Y, 64
    if sys.argv[1:]:
        port, process = (int(number) for number in sys.argv[1:])
        join(port, process)
        x, y, batch = X[:, process], Y[:, process], 32
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16,))
    h = keras.layers.Dense(16, activation="relu")(inputs)
    layers = [keras.layers.LayerNormalization(), keras.layers.Dense(16, "tanh")]
    h = kl.layers.Stack(keras.Sequential(layers), 4, residual=True)(h)
    model = kl.LiftedModel(inputs, keras.layers.Dense(4)(h))
    model.compile("adam", "mse", jit_compile=True)
    history = model.fit(
        x.reshape(-1, 16),
        y.reshape(-1, 4),
        batch_size=batch,
        epochs=2,
        shuffle=False,
        verbose=0,
    )
    learned = [np.asarray(w).tolist() for w in model.get_weights()]
    json.dump({"loss": history.history["loss"], "weights": learned}, sys.stdout)


if __name__ == "__main__":
    main()
