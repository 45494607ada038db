"""Clamped minus free gradients, by hand and from scipy's minimisers."""

import keras
import numpy as np
import pytest
from keras import layers
from two_blocks import (
    COMPILED,
    SAMPLES,
    WEIGHTS,
    X,
    Y,
    assert_close,
    compiled,
    gradients,
    network,
)

import keras_lifted as kl

Contrastive = kl.penalties.Contrastive
W1, B1, W2, B2, W3 = WEIGHTS


def relu(z):
    return np.maximum(z, 0)


# -- by hand ---------------------------------------------------------------------------


@pytest.mark.parametrize("feedback", [1.0, 0.3])
@pytest.mark.parametrize(
    ("activation", "sigma"), [("relu", relu), ("tanh", np.tanh)], ids=["relu", "tanh"]
)
def test_sweep(activation, sigma, feedback):
    """x_l = σ(z_l − q_l/w), δ_l = w(z_l − x_l), q₁ = W₂δ₂, with the loss and without.

    Less feedback: δ_l = w(σ(z_l) − x_l + φ(z_l − σ(z_l))).
    """
    w = 2.0
    z1 = X.astype("float64") @ W1 + B1
    z2 = sigma(z1) @ W2 + B2
    g3 = sigma(z2) @ W3 - Y  # mean over 2 outputs of squares

    def phase(g3):
        d2 = w * (sigma(z2) - sigma(z2 - g3 @ W3.T / w) + feedback * (z2 - sigma(z2)))
        x1 = sigma(z1 - d2 @ W2.T / w)
        return d2, w * (sigma(z1) - x1 + feedback * (z1 - sigma(z1))), x1

    (d2, d1, x1), (f2, f1, _) = phase(g3), phase(0 * g3)
    d2, d1 = d2 - f2, d1 - f1
    model = compiled(network(activation), Contrastive(w, feedback))
    np.testing.assert_allclose(model.lifted_variables(X, Y)["one"], x1, atol=1e-5)
    expected = [X.T @ d1, d1.sum(0), sigma(z1).T @ d2, d2.sum(0), sigma(z2).T @ g3]
    assert_close(gradients(model), [e / SAMPLES for e in expected], atol=5e-6)


def potential(x):
    """Ψ of tanh, so that ½x² + Ψ is x artanh x + ½log(1 − x²)."""
    return x * np.arctanh(x) + 0.5 * np.log(1 - x**2) - 0.5 * x**2


def energy(v1, v2, y, w):
    """Mean of ℓ + Σ_l w(½‖x_l − z_l‖² + Ψ(x_l)), x = tanh(v); no ℓ without y."""
    x1, x2 = np.tanh(v1), np.tanh(v2)
    z1, z2 = X.astype("float64") @ W1 + B1, x1 @ W2 + B2
    total = 0.0
    for x, z in ((x1, z1), (x2, z2)):
        total += w * np.sum(0.5 * (x - z) ** 2 + potential(x))
    if y is not None:
        total += np.sum(0.5 * (x2 @ W3 - y) ** 2)
    return total / SAMPLES


def minimiser(y, w):
    """Both x of the least energy, and that energy, by scipy in float64."""
    optimize = pytest.importorskip("scipy.optimize")
    z1 = X.astype("float64") @ W1 + B1
    z2 = np.tanh(z1) @ W2 + B2

    def split(v):
        return v[: z1.size].reshape(z1.shape), v[z1.size :].reshape(z2.shape)

    start = np.concatenate([z1.ravel(), z2.ravel()])
    result = optimize.minimize(
        lambda v: energy(*split(v), y, w), start, method="BFGS", options={"gtol": 1e-7}
    )
    return [np.tanh(v) for v in split(result.x)], result.fun


UPDATES = {
    "proximal_gradient": kl.updates.ProximalGradient(80),
    "nesterov": kl.updates.ProximalGradient(40, "nesterov"),
    "mirror": kl.updates.Mirror(80),
}


def trained(model, x=X, y=Y):
    """Gradients, the energy and the sampled lifted variables of one step."""
    before = model.get_weights()
    sample = model.lifted_variables(x, y)
    logs = model.train_on_batch(x, y, return_dict=True)
    moved = [a - b for a, b in zip(before, model.get_weights())]
    return moved, float(logs["lifted_energy"]), sample


@pytest.mark.slow
@pytest.mark.parametrize("update", ["proximal_gradient", "nesterov", "mirror"])
def test_converged_phases(update):
    """∂/∂θ (min E_clamped − min E_free) at minimisers that scipy found."""
    w = 0.7
    (c1, c2), clamped = minimiser(Y, w)
    (f1, f2), free = minimiser(None, w)
    z1 = X.astype("float64") @ W1 + B1
    assert np.abs(f1 - np.tanh(z1)).max() > 0.05  # feedback moves the free phase

    def block(x1, x2):
        d1, d2 = w * (z1 - x1), w * (x1 @ W2 + B2 - x2)
        return [X.T @ d1, d1.sum(0), x1.T @ d2, d2.sum(0)]

    expected = [a - b for a, b in zip(block(c1, c2), block(f1, f2))]
    expected.append(c2.T @ (c2 @ W3 - Y))
    penalty = Contrastive(w, feedback=1.0)
    model = compiled(network(), penalty, UPDATES[update], jit_compile=True)
    got, energy, sample = trained(model)
    for x, found in zip((c1, c2), sample.values(), strict=True):
        np.testing.assert_allclose(found, x, atol=1e-3)
    np.testing.assert_allclose(energy, clamped - free, rtol=1e-3)
    for each, wanted in zip(got, (e / SAMPLES for e in expected), strict=True):
        assert np.linalg.norm(each - wanted) < 4e-3 * np.linalg.norm(wanted)


@pytest.mark.slow
def test_learnable_parameters():
    """Their gradient is that of clamped minus free energy, by finite differences."""
    inputs = keras.Input((4,))
    first = kl.layers.SoftThreshold(0.2, learnable=True)
    x = first(layers.Dense(6)(inputs))
    x = kl.layers.SoftThreshold(0.2)(layers.Dense(3)(x))
    model = kl.LiftedModel(inputs, layers.Dense(2, use_bias=False)(x))
    weights = [*WEIGHTS[:2], *first.get_weights(), *WEIGHTS[2:]]
    update = UPDATES["proximal_gradient"]
    compiled(model, Contrastive(0.7, feedback=1.0), update, jit_compile=True)
    energies, step = [], 0.03
    for sign in (0, 1, -1):
        moved = [w + sign * step * (i == 2) for i, w in enumerate(weights)]
        model.set_weights(moved)
        gradient, energy, _ = trained(model)
        energies.append(energy)
        if not sign:
            got = np.sum(gradient[2])
    slope = (energies[1] - energies[2]) / (2 * step)
    assert abs(got - slope) < 0.05 * abs(slope)


# -- against backpropagation -----------------------------------------------------------


def cosines(feedback, w, update=None):
    model = compiled(network("relu"), Contrastive(w, feedback), update)
    exact = compiled(network("relu"), kl.penalties.Quadratic(1.0))
    return [
        np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)
        for a, b in zip(gradients(model), gradients(exact), strict=True)
    ]


@pytest.mark.parametrize(
    "update",
    [
        pytest.param(kl.updates.Sweep(), id="sweep"),
        pytest.param(kl.updates.ProximalGradient(4), id="pg", marks=pytest.mark.slow),
    ],
)
def test_tends_to_backprop(update):
    """As the weight grows and the feedback vanishes."""
    assert min(cosines(1e-3, 100.0, update)) > 0.99
    assert min(cosines(0.1, 30.0, update)) > min(cosines(1.0, 1.0, update))


def test_the_block_before_the_output_needs_no_small_feedback():
    assert min(cosines(1.0, 100.0)[2:]) > 0.999


# -- the free phase --------------------------------------------------------------------


def test_regularizers_count_once():
    plain = gradients(compiled(network(), Contrastive(2.0)))
    l2 = keras.regularizers.L2(0.1)
    model = network(kernel_regularizer=l2)
    with_l2 = gradients(compiled(model, Contrastive(2.0)))
    np.testing.assert_allclose(with_l2[0] - plain[0], 0.2 * W1, atol=1e-5)
    assert_close(with_l2[1:], plain[1:], atol=1e-5)


def test_state_moves_once_per_step(tmp_path):
    """Batch statistics and dropout seeds as in plain Keras, at learning rate 0."""

    def build():
        inputs = keras.Input((4,))
        x = layers.Dense(6, activation="relu")(inputs)
        x = layers.BatchNormalization()(layers.Dense(6, activation="relu")(x))
        x = layers.Dropout(0.5, seed=5)(x)
        return keras.Model(inputs, layers.Dense(2)(x))

    plain, other = build(), build()
    other.set_weights(plain.get_weights())
    model = kl.LiftedModel(other.inputs, other.outputs)
    plain.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=COMPILED)
    compiled(model, Contrastive(2.0), kl.updates.ProximalGradient(2), rate=0.0)
    states = []
    for each in (plain, model):
        each.train_on_batch(X, Y)
        variables = each.non_trainable_variables
        states.append([keras.ops.convert_to_numpy(v) for v in variables])
    assert_close(*states, atol=1e-6)


def test_the_loss_metric_is_the_users():
    model = compiled(network(), Contrastive(2.0), rate=0.0)
    logs = model.train_on_batch(X, Y, return_dict=True)
    expected = model.evaluate(X, Y, verbose=0, return_dict=True)
    np.testing.assert_allclose(logs["loss"], expected["loss"], rtol=1e-5)
    assert logs["lifted_gap"] > 0


@pytest.mark.parametrize("update", [None, kl.updates.Mirror(2)])
def test_large_weights_warn(update):
    model = compiled(network(), Contrastive(200.0), update)
    with pytest.warns(UserWarning, match="resolves penalty weights up to 100"):
        model.train_on_batch(X, Y)
