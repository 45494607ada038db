"""Implicit steps of ISGM against NumPy, and energies that never rise."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from small import JAX, QUICK, restored

import keras_lifted as kl
from keras_lifted.lifting.energy import energy
from keras_lifted.models.step import solve_once
from keras_lifted.optimizers.weight_blocks import DAMPING

N, INPUTS, OUTPUTS = 12, 5, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, INPUTS)).astype("float32")
Y = RNG.normal(size=(N, OUTPUTS)).astype("float32")
RATES = (1e-3, 1.0, 1e3, 1e6)
GEOMETRIES = ("frobenius", "covariance")
# The curvature of the mean squared error in the outputs.
REDUCTIONS = {"sum_over_batch_size": 2 / (N * OUTPUTS), "sum": 2 / OUTPUTS}


def layer(use_bias=True):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((INPUTS,))
    return kl.LiftedModel(inputs, layers.Dense(OUTPUTS, use_bias=use_bias)(inputs))


def joint(model):
    """The kernel over the bias."""
    return np.concatenate([np.atleast_2d(w) for w in model.get_weights()])


def proximal_step(start, rows, h, rate, geometry):
    """`argmin (h/2)‖A W − Y‖² + ‖W − W_k‖²_S/(2τ)`, by NumPy in double precision."""
    rows, start, y = (each.astype("float64") for each in (rows, start, Y))
    gram, n = rows.T @ rows, rows.shape[1]
    norm = np.eye(n)
    if geometry == "covariance":
        norm = DAMPING * norm + gram * n / np.trace(gram)
    left = norm / rate + h * gram
    return np.linalg.solve(left, norm @ start / rate + h * rows.T @ y)


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("use_bias", [True, False])
def test_least_squares(use_bias, reduction, geometry):
    rows = np.concatenate([X, np.ones((N, 1))], axis=1) if use_bias else X
    for factor in (1.0, 1e3):
        error = keras.losses.MeanSquaredError(reduction=reduction)
        for rate in (1e-2, 1.0):
            model = layer(use_bias)
            start = joint(model)
            optimizer = kl.optimizers.ISGM(rate / factor, geometry)
            model.compile(optimizer, scaled(error, factor), **QUICK)
            model.train_on_batch(X, Y)
            h = factor * REDUCTIONS[reduction]
            expected = proximal_step(start, rows, h, rate / factor, geometry)
            np.testing.assert_allclose(joint(model), expected, atol=1e-3)
            if JAX:
                break  # compilations
        if JAX:
            break


def scaled(error, factor):
    class Scaled(keras.losses.Loss):
        """A loss of its own reduction."""

        def __init__(self):
            super().__init__(reduction=error.reduction)

        def call(self, y, predicted):
            return factor * error.call(y, predicted)

    return Scaled()


def conv():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, strides=2)(inputs)
    return kl.LiftedModel(inputs, layers.GlobalAveragePooling2D()(x))


def two_layers(activation="tanh"):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((INPUTS,))
    x = layers.Dense(6, activation)(inputs)
    return kl.LiftedModel(inputs, layers.Dense(OUTPUTS)(x))


LABELS = np.arange(N) % OUTPUTS
ENTROPY = keras.losses.SparseCategoricalCrossentropy
CASES = {
    "mse": (layer, X, Y, keras.losses.MeanSquaredError),
    "cross-entropy": (layer, X, LABELS, lambda **kw: ENTROPY(from_logits=True, **kw)),
    "conv": (
        conv,
        RNG.normal(size=(N, 6, 6, 2)).astype("float32"),
        RNG.normal(size=(N, 4)).astype("float32"),
        keras.losses.MeanSquaredError,
    ),
    "two layers": (two_layers, X, Y, keras.losses.MeanSquaredError),
    "two layers, ReLU": (
        lambda: two_layers("relu"),
        X,
        Y,
        keras.losses.MeanSquaredError,
    ),
    "two layers, cross-entropy": (
        two_layers,
        X,
        LABELS,
        lambda **kw: ENTROPY(from_logits=True, **kw),
    ),
}


def energies(model, x, y, steps=3):
    """Pairs of energies before and after steps, at the same lifted variables."""
    for _ in range(steps):
        problem, solution = solve_once(model, x, y, None)
        coordinates = solution.last.coordinates

        def value(problem, coordinates=coordinates):
            values = [v.value for v in model.trainable_variables]
            with keras.StatelessScope():
                return float(ops.convert_to_numpy(energy(problem, coordinates, values)))

        before = value(problem)
        model.train_on_batch(x, y)
        # Another problem, as JAX gives the state of the first to the step.
        yield before, value(solve_once(model, x, y, None)[0])


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("case", CASES)
def test_the_energy_never_rises(case, geometry):
    make, x, y, error = CASES[case]
    settings = [(rate, "sum_over_batch_size", 1.0) for rate in RATES]
    settings += [(1.0, "sum", 1.0), (1.0, "sum_over_batch_size", 1e3)]
    for rate, reduction, factor in settings[1:3] if JAX else settings:
        model = make()
        loss = scaled(error(reduction=reduction), factor)
        model.compile(kl.optimizers.ISGM(rate, geometry), loss, **QUICK)
        found = list(energies(model, x, y))
        for before, after in found:
            assert after <= before + 1e-5 * abs(before), (rate, reduction, factor)
        assert found[0][1] < found[0][0]


def test_variables_that_are_no_kernels():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((INPUTS,))
    x = layers.LayerNormalization()(layers.Dense(6, "tanh")(inputs))
    model = kl.LiftedModel(inputs, layers.Dense(OUTPUTS)(x))
    start = model.get_weights()
    model.compile(kl.optimizers.ISGM(10.0), "mse", **QUICK)
    (pair,) = energies(model, X, Y, 1)
    assert pair[1] <= pair[0] * (1 + 1e-5)
    for old, new in zip(start, model.get_weights()):
        assert np.isfinite(new).all() and np.abs(new - old).max() > 0


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_it_learns(geometry):
    model = two_layers()
    model.compile(kl.optimizers.ISGM(1.0, geometry, momentum=0.5), "mse")
    losses = model.fit(X, Y, batch_size=6, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_saved_and_loaded(tmp_path):
    model = two_layers()
    model.compile(kl.optimizers.ISGM(1.0, "covariance", 0.5), "mse", **QUICK)
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = model.run_eagerly
    for each in (model, loaded):
        each.train_on_batch(X, Y)
    for one, other in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "learning_rate": 0.5,
            "geometry": "covariance",
            "momentum": 0.5,
            "penalty": kl.penalties.Quadratic(3.0),
            "lifted_update": kl.updates.ProximalGradient(2),
            "curvature_refresh": 7,
            "name": "mine",
        },
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 10)},
    ],
    ids=["defaults", "all", "schedule"],
)
def test_config(settings):
    optimizer = kl.optimizers.ISGM(**settings)
    again = restored(optimizer)
    for name in ("geometry", "momentum", "curvature_refresh", "name"):
        if name in settings:
            assert again.get_config()[name] == settings[name]


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"geometry": "kronecker"}, "geometry.*SteepestDescent"),
        ({"momentum": 1.0}, "momentum"),
        (
            {"penalty": kl.penalties.Contrastive()},
            "Contrastive.*BlockCoordinateDescent",
        ),
        ({"curvature_refresh": 0}, "curvature_refresh"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_errors(wrong, match):
    with pytest.raises(ValueError, match=match) as error:
        kl.optimizers.ISGM(**wrong)
    assert len(str(error.value)) <= 600


def test_a_stack_is_an_error():
    inputs = keras.Input((INPUTS,))
    x = kl.layers.ProximalStack(INPUTS, 3, "tanh")(inputs)
    model = kl.LiftedModel(inputs, layers.Dense(OUTPUTS)(x))
    model.compile(kl.optimizers.ISGM(), "mse", **QUICK)
    with pytest.raises(ValueError, match="stack of blocks.*SteepestDescent"):
        model.train_on_batch(X, Y)
