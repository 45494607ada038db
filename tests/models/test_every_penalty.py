"""Every penalty with every update trains a small network, compiled."""

import keras
import numpy as np
import pytest
from keras import layers
from networks import data

import keras_lifted as kl

P, U = kl.penalties, kl.updates
PENALTIES = {
    "bregman": lambda: P.Bregman(5.0),
    "quadratic": lambda: P.Quadratic(5.0),
    "fenchel": lambda: P.Fenchel(5.0),
    "contrastive": lambda: P.Contrastive(5.0),
}
UPDATES = {
    "sweep": U.Sweep,
    "proximal_gradient": lambda: U.ProximalGradient(3),
    "nesterov": lambda: U.ProximalGradient(3, "nesterov"),
    "heavy_ball": lambda: U.ProximalGradient(3, "heavy_ball"),
    "adam": lambda: U.ProximalGradient(3, "adam"),
    "mirror": lambda: U.Mirror(3),
}


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = layers.Dense(8, activation="relu")(inputs)
    x = layers.Dense(8, activation="tanh")(x)
    return kl.LiftedModel(inputs, layers.Dense(1)(x))


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_training(penalty, update):
    x = data(4)
    y = np.tanh(x[:, :1]) + 0.5 * x[:, 1:2]
    model = network()
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.Adam(0.02), PENALTIES[penalty](), UPDATES[update]()
    )
    metrics = [kl.metrics.LiftedGap(), kl.metrics.LiftedEnergy()]
    model.compile(optimizer, "mse", metrics=metrics, jit_compile=True)
    history = model.fit(x, y, batch_size=16, epochs=15, verbose=0).history
    assert np.isfinite(history["lifted_energy"]).all()
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    assert min(history["lifted_gap"]) >= 0
