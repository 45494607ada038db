"""What `invert` says about its own results is true, and what it cannot do it says."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import layers
from keras import ops
from one_block import HAS_DOUBLE
from one_block import best_l1
from one_block import best_smooth
from one_block import best_variation
from one_block import double
from one_block import perceptron
from scipy import optimize

import keras_lifted as kl
from keras_lifted.inversion.divergence import bregman_terms
from keras_lifted.inversion.divergence import relative_entropy
from keras_lifted.layers.map import ProximalMap

R = kl.regularizers
SMOOTH = ["sigmoid", "tanh", "softplus", "elu", "softsign", "arctan", "isru"]


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


@pytest.mark.parametrize("name", [*SMOOTH, "relu", "soft_threshold", "leaky_relu"])
def test_a_small_distance_is_the_integral_of_the_difference(name):
    """`D(y, z) = ∫ (σ(z + t) − y)`, from where σ is y: never below zero in float32."""
    activation = kl.layers.get(name)
    sigma = ProximalMap.of(activation)
    z = np.linspace(-3, 3, 41)
    for size in (0.0, 1e-4, 1e-2, 0.08, 0.2, 1.0):
        s = z + size
        y = number(activation.sigma(ops.convert_to_tensor(s.astype("float32"))))
        t = np.linspace(0, 1, 4001)[:, None]
        between = s + t * (z - s)
        values = number(sigma(ops.convert_to_tensor(between.astype("float32"))))
        expected = np.trapezoid((values - y) * (z - s), t[:, 0], axis=0)
        found = number(
            bregman_terms(
                sigma,
                ops.convert_to_tensor(y.astype("float32")[None]),
                ops.convert_to_tensor(z.astype("float32")[None]),
            )
        )[0]
        assert (found >= 0).all()
        np.testing.assert_allclose(found, expected, rtol=0.05, atol=3e-7 * (1 + size))


@settings(max_examples=50)
@given(st.floats(1e-3, 100), st.floats(-0.5, 0.5))
def test_relative_entropy(y, change):
    y = np.float32(y)
    x = np.float32(y * (1 + change))
    r = (float(x) - float(y)) / float(y)
    expected = float(y) * (r - np.log1p(r)) if abs(r) > 1e-4 else 0.5 * y * r**2
    found = float(relative_entropy(ops.array([y]), ops.array([x]))[0])
    assert found >= 0
    assert found == pytest.approx(expected, rel=3e-3, abs=1e-12)


def test_distances_of_coupled_outputs():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4, 5)).astype("float32")
    softmax = ProximalMap.of(kl.layers.Softmax())
    y = number(softmax(ops.convert_to_tensor(rng.normal(size=(4, 5)))))
    x = number(softmax(ops.convert_to_tensor(z)))
    found = number(
        bregman_terms(softmax, ops.convert_to_tensor(y.astype("float32")), z)
    )
    np.testing.assert_allclose(found.sum(1), (y * np.log(y / x)).sum(1), rtol=1e-4)
    ball = ProximalMap.of(kl.layers.L2BallProjection())
    y = number(ball(ops.convert_to_tensor(rng.normal(size=(4, 5)).astype("float32"))))
    found = number(bregman_terms(ball, ops.convert_to_tensor(y.astype("float32")), z))
    x = number(ball(ops.convert_to_tensor(z)))
    direct = 0.5 * (y**2).sum(1) + (x * z - 0.5 * x**2).sum(1) - (y * z).sum(1)
    np.testing.assert_allclose(found.sum(1), direct, atol=1e-5)


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


def test_a_point_worse_than_the_best_is_never_returned():
    network = decoder()
    y = network.predict(np.random.default_rng(0).normal(size=(3, 8)), verbose=0)
    for factor in (2.0, 1e4):  # usual steps, and steps far too long
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
    measure, calls = inverter._ways[0].lipschitz, []

    def counted(*arguments):
        calls.append(1)
        return measure(*arguments)

    monkeypatch.setattr(inverter._ways[0], "lipschitz", counted)
    y = np.ones((1, 12), "float32")
    for factor in (1.0, 1.0, 2.0):
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([factor * kernel, bias])
        inverter(y, max_steps=5, tolerance=0, verbose=0)
    assert len(calls) == 2


SOLVERS = {
    "tikhonov": (R.Tikhonov(), best_smooth),
    "box": (R.Tikhonov() + R.Box(0.0, 0.4), lambda *a: best_smooth(*a, (0.0, 0.4))),
    "l1": (R.L1(), best_l1),
    "tv": (R.TotalVariation(), best_variation),
}


@pytest.fixture(scope="module")
def inverters():
    """For each regularizer a network whose weights the examples change."""
    found = {}
    for key, (regularizer, _) in SOLVERS.items():
        for name in ("relu", "linear"):
            model, _, _ = perceptron(12, 9, name)
            inverter = kl.inversion.Inverter(model, regularizer)
            found[key, name] = model, inverter
    return found


@pytest.mark.slow
@settings(max_examples=200)
@given(
    key=st.sampled_from(sorted(SOLVERS)),
    name=st.sampled_from(["relu", "linear"]),
    seed=st.integers(0, 10**6),
    strength=st.floats(-2, 0.3),
    steps=st.sampled_from([5, 20, 60, 300]),
)
def test_certificates_bound_the_gap_of_scipy(
    inverters, key, name, seed, strength, steps
):
    model, inverter = inverters[key, name]
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(12, 9)).astype("float32") / 12**0.5
    bias = 0.1 * rng.normal(size=9).astype("float32")
    model.layers[-1].set_weights([kernel, bias])
    kernel, bias = kernel.astype("float64"), bias.astype("float64")
    y = np.repeat(rng.normal(size=3), 4) @ kernel + bias + 0.05 * rng.normal(size=9)
    y = (np.maximum(y, 0) if name == "relu" else y).astype("float32")
    alpha = 10.0**strength
    result = inverter(y[None], steps, alpha, tolerance=0, verbose=0)
    least, _ = SOLVERS[key][1](name, kernel, bias, y.astype("float64"), alpha)
    objective, bound = result.objective[0], result.certificate[0]
    assert objective - least <= bound + 3e-6 * (1 + abs(objective))
    assert 0 <= bound <= objective * 1.00001


@pytest.mark.skipif(not HAS_DOUBLE, reason="float64 needs JAX_ENABLE_X64")
def test_certificates_are_tight_where_the_regularizer_is_strongly_convex():
    with double():
        model, kernel, bias = perceptron(24, 16, "relu")
        y = np.maximum(np.random.default_rng(3).normal(size=16), 0)
        least, _ = best_smooth("relu", kernel, bias, y, 0.1)
        for steps in (5, 10, 20):
            result = kl.invert(
                model,
                y[None],
                R.Tikhonov(),
                alpha=0.1,
                max_steps=steps,
                tolerance=0,
                verbose=0,
            )
            gap = result.objective[0] - least
            assert gap <= result.certificate[0] <= 10 * gap + 1e-9


@pytest.mark.skipif(not HAS_DOUBLE, reason="float64 needs JAX_ENABLE_X64")
@pytest.mark.filterwarnings("ignore:The inversion did not converge")
def test_certificates_of_norms_are_close_to_the_gap_in_most_problems():
    with double():
        model, kernel, bias = perceptron(24, 16, "relu")
        y = np.maximum(np.random.default_rng(5).normal(size=(12, 16)), 0)
        ratios = []
        for alpha, steps in ((0.05, 100), (0.5, 20)):
            result = kl.invert(
                model, y, R.L1(), alpha=alpha, max_steps=steps, tolerance=0, verbose=0
            )
            least = np.array([best_l1("relu", kernel, bias, r, alpha)[0] for r in y])
            gap = result.objective - least
            assert (gap <= result.certificate + 1e-9).all()
            ratios += list(result.certificate / np.maximum(gap, 1e-9))
        assert np.mean(np.array(ratios) <= 10) > 0.5, ratios


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


def test_earlier_names_and_swapped_arguments():
    layer = layers.Dense(3, kernel_initializer="identity")
    layer.build((None, 3))
    y = np.ones((1, 3), "float32")
    new = kl.invert(
        layer, y, R.L1(), noise_std=0.1, alpha_rule="discrepancy", max_steps=40
    )
    old = kl.invert(
        layer, y, R.L1(), noise=0.1, parameter="discrepancy", steps=40, start=0 * y
    )
    np.testing.assert_array_equal(new.x, old.x)
    inverter = kl.inversion.Inverter(layer, R.L1())
    assert inverter(y, steps=40, noise=0.1, parameter="discrepancy").alpha == new.alpha
    with pytest.raises(TypeError, match="no arguments named.*'stepz'"):
        kl.invert(layer, y, R.L1(), stepz=3)
    with pytest.raises(ValueError, match="come before `y`") as error:
        kl.invert(np.ones((100, 50)), layer, R.L1())
    assert len(str(error.value)) <= 600
