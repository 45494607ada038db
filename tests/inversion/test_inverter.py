"""How an inversion runs: batches, compilation, solver, step lengths."""

import keras
import numpy as np
import pytest
from images import deep, invert, perceptron, phantom, psnr, rng
from keras import layers

import keras_lifted as kl
from keras_lifted.inversion.primal_dual import PrimalDual

R = kl.regularizers


@pytest.fixture
def traces(monkeypatch):
    """A list that grows with every trace of steps."""
    traces = []
    original = PrimalDual.balanced

    def counted(self, state):
        traces.append(1)
        return original(self, state)

    monkeypatch.setattr(PrimalDual, "balanced", counted)
    return traces


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


@pytest.mark.slow
def test_noise_and_discrepancy_compile_once(traces):
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


def test_an_inverter_compiles_once_and_follows_the_weights(traces):
    model, image = perceptron(8, 40), phantom(8)
    inverter = kl.inversion.Inverter(model, R.TotalVariation())
    for factor, alpha in ((1.0, 1e-3), (2.0, 1e-2)):
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([factor * kernel, bias])
        y = model.predict(image, verbose=0)
        again = inverter(y, 60, alpha, tolerance=0, verbose=0)
        keywords = {"tolerance": 0, "jit_compile": True}
        alone = invert(model, y, R.TotalVariation(), 60, alpha=alpha, **keywords)
        np.testing.assert_allclose(again.x, alone.x, atol=1e-4)
    assert len(traces) == 1 + 2  # one of the inverter, one for each `invert`


@pytest.mark.parametrize("weight, expected", [(10.0, 2.0), (float("inf"), 1.0)])
def test_default_steps_are_longer_with_hidden_variables(weight, expected):
    penalty = kl.penalties.Bregman(weight)
    model = deep("functional")
    inverter = kl.inversion.Inverter(model, R.L1(), penalty)
    y = np.ones((1, *model.output_shape[1:]), "float32")
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


@pytest.mark.slow
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


@pytest.mark.slow
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
