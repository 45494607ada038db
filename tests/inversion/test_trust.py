"""What `invert` says about its own results is true, and what it cannot do it says."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from one_block import HAS_DOUBLE, perceptron
from scipy import optimize

import keras_lifted as kl

R = kl.regularizers


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def decoder():
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(98, activation="relu"),
            layers.Reshape((7, 7, 2)),
            layers.Conv2DTranspose(4, 4, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 4, 2, "same", activation="sigmoid"),
        ]
    )


@pytest.mark.parametrize("factor", [2.0, 1e4])  # usual steps, and far too long ones
def test_a_point_worse_than_the_best_is_never_returned(factor):
    network = decoder()
    y = network.predict(np.random.default_rng(0).normal(size=(3, 8)), verbose=0)
    result = kl.invert(
        network,
        y,
        R.Tikhonov(),
        alpha=1e-4,
        max_steps=1500,
        step_factor=factor,
        tolerance=1e-2,
        verbose=0,
    )
    seen = np.nanmin(result.history["objective"], axis=0)
    assert (result.objective <= seen * 1.001 + 1e-7).all()
    assert (result.objective >= 0).all() and (result.fidelity >= 0).all()
    if result.converged:
        assert result.gap.max() < 1e-2


def test_samples_settle_by_themselves():
    model, kernel, bias = perceptron(16, 12, "relu")
    y = np.maximum(np.random.default_rng(1).normal(size=(2, 12)), 0).astype("float32")
    alpha = np.array([3.0, 1e-4])
    keywords = {"max_steps": 100, "verbose": 0}
    with pytest.warns(UserWarning, match="1 of 2 samples: 1"):
        both = kl.invert(model, y, R.L1(), alpha=alpha, tolerance=1e-5, **keywords)
    assert both.converged.tolist() == [True, False] and not both.converged
    alone = kl.invert(model, y[:1], R.L1(), alpha=3.0, tolerance=1e-5, **keywords)
    np.testing.assert_allclose(both.x[:1], alone.x, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_least_squares_with_a_constraint_alone_converges(seed):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((40, 20))
    b = a @ np.maximum(rng.standard_normal(20), 0)
    layer = layers.Dense(40, use_bias=False)
    layer.build((None, 20))
    layer.set_weights([a.T])
    result = kl.invert(layer, b[None], R.NonNegative(), max_steps=3000, verbose=0)
    assert result.converged
    np.testing.assert_allclose(result.x[0], optimize.nnls(a, b)[0], atol=1e-3)


class Noisy(layers.Layer):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x, training=True)


RANDOM = {
    "noise": lambda: kl.imaging.GaussianNoise(0.1),
    "camera": lambda: kl.imaging.Compose(
        [kl.imaging.GaussianBlur(1.0), kl.imaging.PoissonNoise(50.0)]
    ),
    "masks": lambda: kl.imaging.Mask(0.4, resample=True),
    "dropout": lambda: Noisy(layers.Dropout(0.5)),
}


@pytest.mark.parametrize("key", RANDOM)
def test_random_layers_are_refused(key):
    y = np.full((1, 12, 12, 1), 0.5, "float32")
    with pytest.raises(ValueError, match="are random.*without the layers"):
        kl.invert(RANDOM[key](), y, R.Tikhonov(), input_shape=(12, 12, 1))


def test_noise_needs_a_regularizer_with_a_weight():
    layer = layers.Dense(3)
    layer.build((None, 2))
    for only in (R.NonNegative(), R.Box() + R.NonNegative()):
        with pytest.raises(ValueError, match="no weight to choose"):
            kl.invert(layer, [[1.0, 2.0, 3.0]], only, noise_std=0.1)


def test_the_regularizer_alone_explains_the_data():
    layer = layers.Dense(6, kernel_initializer="identity", use_bias=False)
    layer.build((None, 6))
    y = np.full((1, 6), 0.5, "float32")
    with pytest.warns(UserWarning, match="alone explains the data"):
        result = kl.invert(
            layer,
            y,
            R.TotalVariation(),
            noise_std=0.3,
            alpha_rule="discrepancy",
            verbose=0,
        )
    assert result.alpha[0] < 1e6 and len(result.path["alpha"]) < 16
    assert result.noise_residual[0] == pytest.approx(0.3 * 6**0.5)
    assert result.data_residual[0] < result.noise_residual[0]


@pytest.mark.slow
def test_max_pooling_does_not_destroy_the_result():
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 3, padding="same"),
        ]
    )
    u = np.random.default_rng(0).random((2, 8, 8, 1)).astype("float32")
    y = network.predict(u, verbose=0)
    zero = np.linalg.norm(
        (network.predict(0 * u, verbose=0) - y).reshape(2, -1), axis=1
    )
    result = kl.invert(
        network, y, R.TotalVariation(1e-4), max_steps=600, tolerance=0, verbose=0
    )
    assert np.isfinite(result.x).all() and np.isnan(result.certificate).all()
    assert (result.data_residual < 0.3 * zero).all()


def test_the_norm_is_measured_once_for_unchanged_weights(monkeypatch):
    model, _, _ = perceptron(16, 12, "relu")
    inverter = kl.inversion.Inverter(model, R.L1(0.1), jit_compile=False)
    calls = []
    # New weights are looked at where their norm is measured.
    monkeypatch.setattr(
        "keras_lifted.inversion.inverter.check_outputs", lambda *_: calls.append(1)
    )
    y = np.ones((1, 12), "float32")
    for factor in (1.0, 1.0, 2.0):
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([factor * kernel, bias])
        inverter(y, max_steps=5, tolerance=0, verbose=0)
    assert len(calls) == 2


def test_constraints_that_hold_in_the_limit():
    """Only one is kept exactly; the start, which keeps all, is not the result."""
    layer = layers.Dense(6, use_bias=False)
    layer.build((None, 4))
    kernel = np.random.default_rng(0).normal(size=(4, 6))
    layer.set_weights([kernel])
    y = 4 * np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    keywords = {"tolerance": 1e-4, "max_steps": 3000, "verbose": 0}
    both = kl.invert(layer, y, R.NonNegative() + R.Box(-1.0, 0.3), **keywords)
    one = kl.invert(layer, y, R.Box(0.0, 0.3), **keywords)
    assert both.converged and np.abs(one.x).max() > 0.2
    np.testing.assert_allclose(both.x, one.x, atol=2e-3)
    np.testing.assert_allclose(both.objective, one.objective, rtol=1e-3)
    assert (both.certificate < 1e-2 * both.objective).all()


def test_counts_of_zero_without_a_constraint():
    blur, image = kl.imaging.GaussianBlur(1.0), np.zeros((1, 12, 12, 1), "float32")
    image[:, 4:8, 4:8] = 20.0
    y = np.random.default_rng(0).poisson(number(blur(image)))
    with pytest.warns(UserWarning, match="did not converge"):
        result = kl.invert(
            blur,
            y,
            R.TotalVariation(),
            alpha=0.1,
            fidelity=kl.inversion.KullbackLeibler(),
            input_shape=(12, 12, 1),
            max_steps=300,
            tolerance=1e-6,
            verbose=0,
        )
    assert np.isfinite([result.objective[0], result.fidelity[0]]).all()
    assert result.objective[0] < 0.7 * result.history["objective"][0, 0]


def test_a_start_without_gradient_is_no_result():
    network = keras.Sequential(
        [keras.Input((6,)), layers.Dense(12, "relu"), layers.Dense(10)]
    )
    with pytest.warns(UserWarning, match="did not converge in 1 steps"):
        result = kl.invert(
            network, np.ones((1, 10)), R.L1(), alpha=1e-3, max_steps=1, verbose=0
        )
    assert np.abs(result.x).max() > 0 and result.iterations == 1


def test_half_precision_certifies_nothing():
    layer = layers.Dense(8, "relu", dtype="mixed_float16")
    layer.build((None, 6))
    y = number(layer(np.ones((1, 6), "float32")))
    result = kl.invert(layer, y, R.Tikhonov(), alpha=1e-2, tolerance=0.2, verbose=0)
    assert result.x.dtype == "float32" and np.isnan(result.certificate[0])


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_no_sample_converges_to_an_infinite_objective():
    layer = layers.Dense(3)
    layer.build((None, 4))
    y = np.array([[1.0] * 3, [1e20] * 3], "float32")
    with pytest.warns(UserWarning, match="1 of 2 samples: 1"):
        result = kl.invert(layer, y, R.Tikhonov(), max_steps=200, verbose=0)
    assert result.converged.tolist() == [True, False]


@pytest.mark.skipif(not HAS_DOUBLE, reason="float64 needs JAX_ENABLE_X64")
def test_float64_end_to_end():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((30, 20)), rng.standard_normal((1, 30))
    layer = layers.Dense(30, use_bias=False, dtype="float64")
    layer.build((None, 20))
    layer.set_weights([a.T])
    result = kl.invert(layer, b, R.Tikhonov(), tolerance=1e-10, verbose=0)
    exact = np.linalg.solve(a.T @ a + np.eye(20), a.T @ b[0])
    assert result.x.dtype == "float64" and result.converged
    np.testing.assert_allclose(result.x[0], exact, atol=1e-9)
    blur = kl.imaging.GaussianBlur(1.0, dtype="float64")
    y = rng.random((1, 9, 9, 1))
    found = kl.invert(
        blur, y, R.Tikhonov(1e-3), input_shape=(9, 9, 1), max_steps=20, tolerance=0
    )
    assert found.x.dtype == "float64"


@pytest.mark.skipif(HAS_DOUBLE, reason="float64 is there")
@pytest.mark.filterwarnings("ignore:.*float64.*:UserWarning")
def test_float64_that_jax_does_not_offer():
    layer = layers.Dense(3, dtype="float64")
    layer.build((None, 2))
    for network, shape in (
        (layer, None),
        (kl.imaging.GaussianBlur(1.0, dtype="float64"), (9, 9, 1)),
    ):
        y = np.ones((1, *(shape or (3,))))
        with pytest.raises(ValueError, match="JAX_ENABLE_X64=1"):
            kl.invert(network, y, R.Tikhonov(), input_shape=shape)
