"""What the tests of `fit` train, and how: a small model, optimizers and updates."""

import keras
from keras import layers

import keras_lifted as kl

SGD = keras.optimizers.SGD
N = 20  # two batches of 8 and a partial one of 4
UPDATES = {
    "sweep": kl.updates.Sweep(),
    "proximal_gradient": kl.updates.ProximalGradient(3),
    "nesterov": kl.updates.ProximalGradient(3, acceleration="nesterov"),
    "heavy_ball": kl.updates.ProximalGradient(3, acceleration="heavy_ball"),
    "adam": kl.updates.ProximalGradient(3, acceleration="adam", tolerance=1e-9),
    "mirror": kl.updates.Mirror(3),
}


def bcd(inner="sgd", penalty=None, update=None, **kwargs):
    return kl.optimizers.BlockCoordinateDescent(inner, penalty, update, **kwargs)


def small(activation="relu", outputs=1, **dense):
    """One lifted block; the same weights each time."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation=activation, name="hidden", **dense)(inputs)
    return keras.Model(inputs, layers.Dense(outputs, name="out")(x))


def lifted_metrics():
    return [kl.metrics.LiftedGap(), kl.metrics.LiftedEnergy()]


def tensor(array):
    return None if array is None else keras.ops.convert_to_tensor(array)
