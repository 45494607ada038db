"""Inversion of layers and models: what it returns, and that it inverts."""

import keras
import numpy as np
import pytest
from images import deep, invert, perceptron, phantom, psnr, rng
from keras import layers

import keras_lifted as kl

R = kl.regularizers


def test_a_perceptron_of_an_image():
    model, image = perceptron(), phantom()
    y = model.predict(image, verbose=0)
    result = invert(model, y, R.TotalVariation(3e-3), max_steps=2000)
    assert result.converged and result.iterations < 2000
    assert psnr(result.x, image)[0] > 25
    assert result.x.shape == image.shape
    assert result.gap[0] == 0
    again = np.linalg.norm(model.predict(result.x, verbose=0) - y)
    assert result.data_residual[0] == pytest.approx(again, rel=1e-3)
    history = result.history
    assert history["objective"].shape == (len(history["iteration"]), 1)
    assert history["iteration"][-1] == result.iterations
    assert (np.diff(history["seconds"]) > 0).all()
    assert history["residual"][-1] <= 1e-3 < history["residual"][0]
    assert history["objective"][-1] < history["objective"][0]


@pytest.mark.slow
def test_momentum_helps():
    model, image = perceptron(), phantom()
    y = model.predict(image, verbose=0)
    found = [
        invert(model, y, R.TotalVariation(3e-3), 200, acceleration=a, tolerance=0)
        for a in ("nesterov", None)
    ]
    assert found[0].objective[0] < 0.9 * found[1].objective[0]


def test_a_single_layer_needs_no_model():
    dense = layers.Dense(40, activation="relu")
    dense.build((None, 64))
    u = np.repeat(rng().normal(size=(3, 8)), 8, axis=1).astype("float32")
    y = keras.ops.convert_to_numpy(dense(u))
    with_shape = R.TotalVariation(1e-3, shape=(8, 8))
    result = invert(dense, y, with_shape, 20, tolerance=0)
    assert result.x.shape == u.shape
    conv = layers.Conv2D(4, 3, activation=kl.layers.SoftThreshold(0.01))
    conv.build((None, 8, 8, 1))
    u = phantom(8)
    y = keras.ops.convert_to_numpy(conv(u))
    result = invert(conv, y, R.TotalVariation(1e-3), 1000)
    assert psnr(result.x, u)[0] > 25


@pytest.mark.parametrize("name", ["functional", "subclassed", "plain_part"])
@pytest.mark.filterwarnings("ignore:The activations of")
def test_many_blocks(name):
    model = deep(name)
    u = np.repeat(rng().normal(size=(4, 4)), 4, axis=1).astype("float32")
    y = model.predict(u, verbose=0)
    weights = [np.array(w) for w in model.get_weights()]
    weight = 10.0 if name == "subclassed" else 1.0  # it has skip connections
    result = invert(
        model,
        y,
        R.TotalVariation(1e-5),
        1000,
        tolerance=0,
        input_shape=(16,),
        penalty=kl.penalties.Bregman(weight),
    )
    nested = np.linalg.norm(model.predict(result.x, verbose=0) - y, axis=1)
    np.testing.assert_allclose(result.data_residual, nested, rtol=1e-2, atol=1e-4)
    zero = np.linalg.norm(model.predict(0 * u, verbose=0) - y, axis=1)
    assert np.median(nested / zero) < 0.1 and (nested < 0.5 * zero).all()
    assert (result.gap < 0.01 * zero**2).all()
    for before, after in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(before, after)


def test_kept_blocks_and_other_penalties():
    model = deep("functional")
    u = np.repeat(rng().normal(size=(2, 4)), 4, axis=1).astype("float32")
    y = model.predict(u, verbose=0)
    zero = np.linalg.norm(model.predict(0 * u, verbose=0) - y, axis=1)
    start = rng().normal(size=u.shape)
    first = model.layers[1].name
    gaps = []
    for penalty in (
        kl.penalties.Bregman(float("inf")),
        kl.penalties.Quadratic(2.0),
        kl.penalties.Bregman({first: 5.0, "default": 1.0}),
    ):
        result = invert(
            model, y, R.L1(1e-5), 150, penalty=penalty, tolerance=0, initial=start
        )
        assert (result.data_residual < 0.6 * zero).all()
        gaps.append(result.gap)
    assert (gaps[0] == 0).all() and (gaps[1] > 0).all() and (gaps[2] > 0).all()


def test_duals_are_balanced_early():
    """The first check comes after ten steps, or one where the problem is not convex."""
    model, image = perceptron(8, 40), phantom(8)
    y = model.predict(image, verbose=0)
    for fidelity, first in (
        (None, [10, 30, 70, 120]),
        (kl.inversion.LeastSquares(), [1, 3, 7, 15]),
    ):
        keywords = {"initial": 0 * image + 1, "fidelity": fidelity, "tolerance": 0}
        checks = invert(model, y, R.L1(), 120, **keywords).history["iteration"]
        assert checks[:4].tolist() == first


def test_samples_do_not_mix():
    model = perceptron(8, 40)
    images = np.concatenate([phantom(8), 2 * phantom(8)])
    y = model.predict(images, verbose=0)
    regularizer = R.TotalVariation(1e-2)
    both = invert(model, y, regularizer, 100, tolerance=0)
    alone = invert(model, y[1:], regularizer, 100, tolerance=0)
    np.testing.assert_allclose(both.x[1:], alone.x, atol=1e-4)
