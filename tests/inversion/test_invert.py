"""Inversion of layers and models: what it returns, and that it inverts."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl
from keras_lifted.inversion.primal_dual import PrimalDual
from keras_lifted.inversion.steps import Steps

R = kl.regularizers


def rng():
    """The same numbers in every test."""
    return np.random.default_rng(0)


def phantom(side=16):
    rows, columns = np.mgrid[:side, :side]
    image = np.zeros((1, side, side, 1), "float32")
    image[0, (rows - 6) ** 2 + (columns - 5) ** 2 < 10, 0] = 1.0
    image[0, 9:13, 8:14, 0] = 0.6
    return image


def perceptron(side=16, outputs=200, activation="relu"):
    model = keras.Sequential(
        [
            keras.Input((side, side, 1)),
            layers.Flatten(),
            layers.Dense(outputs, activation=activation),
        ]
    )
    kernel = rng().normal(size=(side**2, outputs)).astype("float32") / side
    model.layers[-1].set_weights([kernel, np.zeros(outputs, "float32")])
    return model


def psnr(a, b):
    return np.array(kl.imaging.psnr(a, np.broadcast_to(b, a.shape)))


def invert(network, y, regularizer, max_steps, **keywords):
    """Quiet, and compiled by XLA where it pays."""
    jit = max_steps > 150 or keras.backend.backend() == "jax"
    keywords = {"verbose": False, "jit_compile": jit, **keywords}
    return kl.invert(network, y, regularizer, max_steps=max_steps, **keywords)


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


class Residual(keras.Model):
    """Subclassed, with a skip connection, a shared layer, dropout and BatchNorm."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(30, activation="relu")
        self.shared = layers.Dense(30, activation="tanh")
        self.norm = layers.BatchNormalization()
        self.drop = layers.Dropout(0.5)
        self.out = layers.Dense(30)

    def call(self, x):
        x = self.drop(self.norm(self.first(x)))
        x = x + self.shared(x)
        return self.out(x + self.shared(x))


def deep(name):
    if name == "subclassed":
        model = Residual()
        model(np.zeros((1, 16), "float32"))
        return model
    activation = {"functional": "relu", "plain_part": "gelu"}[name]
    inputs = keras.Input((16,))
    h = layers.Dense(30, activation=activation)(inputs)
    h = layers.Dense(30, activation="leaky_relu")(h)
    return keras.Model(inputs, layers.Dense(30, activation="sigmoid")(h))


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


def test_256_images_at_once():
    model = perceptron(8, 40)
    images = phantom(8) * np.linspace(0.5, 1, 256).reshape(-1, 1, 1, 1)
    y = model.predict(images, verbose=0)
    result = invert(
        model, y, R.TotalVariation(1e-3) + R.Box(0.0, 1.0), 500, tolerance=0
    )
    assert result.x.shape == images.shape
    assert result.x.min() >= 0 and result.x.max() <= 1
    assert psnr(result.x, images).mean() > 16


def test_noise_and_discrepancy_compile_once(monkeypatch):
    traces = []
    original = Steps._advance

    def counted(self, *arguments):
        traces.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Steps, "_advance", counted)
    model, image = perceptron(), phantom()
    y = model.predict(np.concatenate([image, image]), verbose=0)
    noise = np.array([0.02, 0.1])
    y = np.maximum(y + noise[:, None] * rng().normal(size=y.shape), 0)
    found = invert(
        model, y, R.TotalVariation(), 400, noise_std=noise, alpha_rule="discrepancy"
    )
    assert len(traces) == 2  # lifted steps, then nested ones
    target = noise * np.sqrt(y.shape[1])
    np.testing.assert_allclose(found.data_residual, target, rtol=0.05)
    assert found.alpha[0] < found.alpha[1]
    by_rule = invert(
        model, y, R.TotalVariation(), 400, noise_std=noise, alpha_rule="theorem"
    )
    assert by_rule.alpha[0] < by_rule.alpha[1]
    for result in (found, by_rule):
        assert psnr(result.x, image)[0] > psnr(result.x, image)[1] > 11


def test_scaling_alpha_is_scaling_the_regularizer():
    model, image = perceptron(8, 40), phantom(8)
    y = model.predict(image, verbose=0)
    a = invert(model, y, R.TotalVariation(1e-2), 50, tolerance=0)
    b = invert(model, y, R.TotalVariation(), 50, alpha=1e-2, tolerance=0)
    np.testing.assert_allclose(a.x, b.x, atol=1e-5)
    assert (a.alpha, b.alpha) == (1.0, 0.01)


def test_it_warns_and_shows_progress(capsys):
    model, image = perceptron(8, 40), phantom(8)
    y = model.predict(image, verbose=0)
    with pytest.warns(UserWarning, match="3 steps in 1 of 1 samples: 0"):
        result = invert(model, y, R.TotalVariation(1e-3), 3, verbose=2)
    assert not result.converged and result.iterations == 3
    assert "residual" in capsys.readouterr().out


def test_out_of_range_is_projected():
    model, image = perceptron(8, 40), phantom(8)
    y = model.predict(image, verbose=0)
    noisy = y + 0.05 * rng().normal(size=y.shape)
    regularizer = R.TotalVariation(1e-2)
    projected = invert(
        model, noisy, regularizer, 50, out_of_range="project", tolerance=0
    )
    clipped = invert(model, np.maximum(noisy, 0), regularizer, 50, tolerance=0)
    np.testing.assert_allclose(projected.x, clipped.x, atol=1e-5)


def test_without_xla():
    model, image = perceptron(4, 10), phantom(16)[:, ::4, ::4]
    y = model.predict(image, verbose=0)
    regularizer = R.TotalVariation(0.1)
    results = [
        invert(model, y, regularizer, 20, tolerance=0, jit_compile=jit)
        for jit in (True, False)
    ]
    np.testing.assert_allclose(results[0].x, results[1].x, atol=1e-5)


def test_an_inverter_compiles_once_and_follows_the_weights(monkeypatch):
    traces = []
    original = Steps._advance

    def counted(self, *arguments):
        traces.append(1)
        return original(self, *arguments)

    monkeypatch.setattr(Steps, "_advance", counted)
    model, image = perceptron(8, 40), phantom(8)
    inverter = kl.inversion.Inverter(model, R.TotalVariation())
    for factor in (1.0, 2.0):
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([factor * kernel, bias])
        y = model.predict(image, verbose=0)
        for alpha in (1e-3, 1e-2):
            again = inverter(y, 60, alpha, tolerance=0, verbose=0)
            keywords = {"tolerance": 0, "jit_compile": True}
            alone = invert(model, y, R.TotalVariation(), 60, alpha=alpha, **keywords)
            np.testing.assert_allclose(again.x, alone.x, atol=1e-4)
    assert len(traces) == 1 + 4  # one of the inverter, one for each `invert`


@pytest.mark.parametrize("weight, expected", [(10.0, 2.0), (float("inf"), 1.0)])
def test_default_steps_are_longer_with_hidden_variables(weight, expected):
    penalty = kl.penalties.Bregman(weight)
    inverter = kl.inversion.Inverter(deep("functional"), R.L1(), penalty)
    y = np.ones((1, *inverter._outputs), "float32")
    keywords = {"tolerance": 0, "verbose": False, "out_of_range": "project"}
    usual, given = (
        inverter(y, 20, 0.1, step_factor=factor, **keywords).x
        for factor in (None, expected)
    )
    np.testing.assert_array_equal(usual, given)


def test_the_solver_is_chosen_by_itself():
    """Nested for several blocks, after lifted steps if the start has no gradient."""
    model = deep("functional")
    u = np.repeat(rng().normal(size=(3, 4)), 4, axis=1).astype("float32")
    keywords = {"alpha": 1e-4, "max_steps": 300, "tolerance": 0}
    nothing = kl.penalties.Bregman(float("inf"))
    found = []
    for bias in (0.1, 0.0):
        model.layers[1].bias.assign(np.full(30, bias))
        y = model.predict(u, verbose=0)
        for penalty in (None, nothing):
            found.append(invert(model, y, R.L1(), penalty=penalty, **keywords))
    solvers = [result.solver for result in found]
    assert solvers == ["nested", "nested", "lifted, then nested", "nested"]
    np.testing.assert_array_equal(found[0].x, found[1].x)
    assert (found[3].x == 0).all()  # the gradient is 0 there
    assert found[2].data_residual.mean() < 0.2 * found[3].data_residual.mean()
    assert found[2].iterations == 300


def test_no_step_ends_above_the_start():
    """Steps far too long are taken back, from the very first check on."""
    model = deep("functional")
    u = np.repeat(rng().normal(size=(3, 4)), 4, axis=1).astype("float32")
    y = model.predict(u, verbose=0)
    found = {}
    for factor in (1e-6, 1.0, 1e6):
        keywords = {"step_factor": factor, "tolerance": 0, "check_every": 10}
        found[factor] = invert(model, y, R.TotalVariation(1e-5), 500, **keywords)
    hardly_moved, usual, long = (found[f].objective for f in found)
    assert np.isfinite(found[1e6].x).all() and (long <= 1.001 * hardly_moved).all()
    assert long.mean() < 2 * usual.mean() < 0.1 * hardly_moved.mean()


@pytest.mark.parametrize("hidden", [False, True])
def test_units_of_the_image_do_not_matter(hidden):
    """Images of 0 to 255 take the same steps as those of 0 to 1."""
    model, image = perceptron(), phantom()
    y = model.predict(image, verbose=0)
    if hidden:
        rescaling = layers.Rescaling(1.0)
        model = keras.Sequential([keras.Input((16, 16, 1)), model, rescaling])
    steps = {"max_steps": 150, "tolerance": 0, "penalty": kl.penalties.Bregman(1.0)}
    one = invert(model, y, R.TotalVariation(1e-3), **steps).x
    other = invert(model, 255 * y, R.TotalVariation(0.255), **steps).x
    assert np.ptp(one) > 0.5
    np.testing.assert_allclose(other, 255 * one, atol=255 * 2e-3)


def test_duals_take_steps_of_their_size(monkeypatch):
    """Far from noise with a small alpha: a fixed share moves the image too little."""
    model, image = perceptron(), phantom()
    y = model.predict(image, verbose=0)
    model = keras.Sequential([keras.Input((16, 16, 1)), model, layers.Rescaling(1.0)])
    start, penalty = rng().random(image.shape), kl.penalties.Bregman(100.0)
    keywords = {"max_steps": 200, "tolerance": 0, "initial": start, "penalty": penalty}
    found = [invert(model, y, R.TotalVariation(1e-2), **keywords).objective[0]]
    monkeypatch.setattr(PrimalDual, "balanced", lambda self, state, *_: state)
    found.append(invert(model, y, R.TotalVariation(1e-2), **keywords).objective[0])
    assert found[0] < 0.8 * found[1]
