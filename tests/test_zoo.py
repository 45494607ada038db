"""Models that others wrote train as they do in Keras."""

import warnings

import keras
import numpy as np
import pytest

import keras_lifted as kl
from benchmarks.keras_io import SMALL
from benchmarks.zoo import ZOO

JAX = keras.backend.backend() == "jax"
OPTIONS = {} if JAX else {"jit_compile": False}
QUICK = ("U-Net", "VAE", "MLP-Mixer", "two-tower", "PointNet")
NETWORKS = [
    pytest.param(name, marks=[] if name in QUICK and not JAX else pytest.mark.slow)
    for name in ZOO
]


def values(variables):
    return [keras.ops.convert_to_numpy(v) for v in variables]


def trained(name, lift, optimizer, steps):
    """The model, its losses, and the first changes of its trainable variables."""
    keras.utils.set_random_seed(0)
    model, x, y, loss = ZOO[name]()
    if lift:
        model = kl.LiftedModel(model.input, model.output)
    predicted = model.predict(x, verbose=0)
    model.compile(optimizer, loss, **OPTIONS)
    before = values(model.trainable_variables)
    losses = [model.train_on_batch(x, y)]
    changes = [b - a for a, b in zip(before, values(model.trainable_variables))]
    losses += [model.train_on_batch(x, y) for _ in range(steps - 1)]
    return model, predicted, np.ravel(losses), changes


def adam():
    """Adam whose `epsilon` is above rounding.

    A bias before a normalization has no gradient but rounding, of which Adam's usual
    `epsilon` makes whole steps: two runs of one Keras model then differ by 10 %.
    """
    return keras.optimizers.Adam(1e-3, epsilon=1e-5)


@pytest.mark.filterwarnings("ignore:[0-9]+ of [0-9]+ activations:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_zoo(name, tmp_path):
    if name.startswith("DLRM"):  # its import draws random numbers
        pytest.importorskip("keras_rs")
    with warnings.catch_warnings():
        if name not in SMALL:
            warnings.simplefilter("ignore")
        rate = 1e-2
        _, expected, _, gradients = trained(name, False, keras.optimizers.SGD(rate), 1)
        _, predicted, _, lifted = trained(name, True, keras.optimizers.SGD(rate), 1)
        np.testing.assert_array_equal(predicted, expected)
        largest = max(np.abs(g).max() for g in gradients)
        for got, wanted in zip(lifted, gradients, strict=True):
            if np.abs(wanted).max() < 1e-5 * largest:
                continue  # rounding
            norms = np.linalg.norm(got) * np.linalg.norm(wanted)
            assert (got * wanted).sum() / norms > 0.999
        _, _, plain, _ = trained(name, False, adam(), 5)
        model, _, losses, _ = trained(name, True, adam(), 5)
        # Of the first loss: eight samples may be learned by heart in five steps, and
        # what is left of the loss then differs as much if weights differ by rounding.
        np.testing.assert_allclose(losses, plain, rtol=0.01, atol=0.01 * plain[0])
        model.save(tmp_path / "model.keras")
        again = keras.models.load_model(tmp_path / "model.keras", safe_mode=False)
        for got, wanted in zip(values(again.weights), values(model.weights)):
            np.testing.assert_array_equal(got, wanted)
