"""Weight gradients against formulas by hand, and against backpropagation."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl

L = kl.layers
JAX = keras.backend.backend() == "jax"
COMPILED = "auto" if JAX else False
B = 5
RNG = np.random.default_rng(7)
X = RNG.normal(size=(B, 4)).astype("float32")
Y = RNG.normal(size=(B, 3)).astype("float32")
W1, B1 = RNG.normal(size=(4, 6)) * 0.7, RNG.normal(size=6) * 0.1
W2, B2 = RNG.normal(size=(6, 3)) * 0.7, RNG.normal(size=3) * 0.1


def network(activation, weights=(W1, B1, W2, B2)):
    inputs = keras.Input((4,))
    hidden = layers.Dense(6, activation=activation, name="hidden")(inputs)
    outputs = layers.Dense(3, name="out")(hidden)
    model = kl.LiftedModel(inputs, outputs)
    model.set_weights(weights)
    return model


def compiled(model, penalty, update=None, loss="mse"):
    sgd = keras.optimizers.SGD(1.0)
    optimizer = kl.optimizers.BlockCoordinateDescent(sgd, penalty, update)
    model.compile(optimizer, loss, jit_compile=COMPILED)
    return model


def gradients(model, x=X, y=Y):
    """What one step of SGD(1) subtracts from the weights."""
    before = model.get_weights()
    model.train_on_batch(x, y)
    return [a - b for a, b in zip(before, model.get_weights())]


@dataclasses.dataclass
class Pass:
    """The forward pass of `network` in float64, `E = mean_i (ℓ + w P)`."""

    z1: np.ndarray
    a: np.ndarray
    g2: np.ndarray  # ∂ℓ/∂z₂ of each sample, ℓ = mean over 3 outputs of squares
    q: np.ndarray


def forward(sigma, x=X, y=Y):
    z1 = x.astype("float64") @ W1 + B1
    a = sigma(z1)
    g2 = 2 / 3 * (a @ W2 + B2 - y)
    return Pass(z1, a, g2, g2 @ W2.T)


def relu(z):
    return np.maximum(z, 0)


def check(got, dz1, a, g2):
    """Gradients of a Dense-Dense network from those of its pre-activations."""
    expected = [X.T @ dz1 / B, dz1.mean(0), a.T @ g2 / B, g2.mean(0)]
    for each, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(each, wanted, rtol=2e-4, atol=2e-6)


# -- by hand --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "sigma"), [("relu", relu), ("tanh", np.tanh)], ids=["relu", "tanh"]
)
@pytest.mark.parametrize("w", [0.5, 3.0])
def test_sweep(activation, sigma, w):
    """x₁ = σ(z₁ − q/w); the output block sees the forward pass."""
    p = forward(sigma)
    x1 = sigma(p.z1 - p.q / w)
    model = compiled(network(activation), kl.penalties.Bregman(w))
    np.testing.assert_allclose(model.lifted_variables(X, Y)["hidden"], x1, atol=1e-5)
    check(gradients(model), w * (sigma(p.z1) - x1), p.a, p.g2)


def step_length(model):
    """w/L, as the optimizer found it."""
    lifted = model.optimizer.lifted
    rate = float(lifted.weight[0]) * float(lifted.caution) / float(lifted.curvature[0])
    return min(rate, 100.0)


def curvature_bound():
    """Of ℓ in x₁: ℓ = |W₂ᵀx − y|²/3."""
    return 2 / 3 * np.linalg.norm(W2, 2) ** 2


@pytest.mark.parametrize("w", [0.5, 3.0])
def test_one_proximal_gradient_step(w):
    """x₁ = prox_{μF}(a − μ(q/w − z₁)); the output block saw the forward pass."""
    p = forward(relu)
    update = kl.updates.ProximalGradient(steps=1)
    model = compiled(network("relu"), kl.penalties.Bregman(w), update)
    got = gradients(model)
    mu = step_length(model)
    assert 0.5 * w / curvature_bound() < mu <= w / curvature_bound()
    # Of ReLU: prox_{μF}(v) = max(v, 0)/(1 + μ).
    x1 = relu(p.a - mu * (p.q / w - p.z1)) / (1 + mu)
    check(got, w * (p.a - x1), p.a, p.g2)


@pytest.mark.parametrize("w", [0.5, 3.0])
def test_one_mirror_step(w):
    """v₁ = (1 − τ)z₁ + τ(z₁ − q/w), x₁ = σ(v₁), τ = μ/(1 + μ)."""
    p = forward(np.tanh)
    model = compiled(
        network("tanh"), kl.penalties.Bregman(w), kl.updates.Mirror(steps=1)
    )
    got = gradients(model)
    mu = step_length(model)
    x1 = np.tanh(p.z1 - mu / (1 + mu) * p.q / w)
    check(got, w * (p.a - x1), p.a, p.g2)


@pytest.mark.parametrize("w", [0.5, 3.0])
def test_one_proximal_gradient_step_of_the_quadratic_penalty(w):
    """x₁ = (a + μ(σ(z₁) − q/w))/(1 + μ), ∂P/∂z = σ'(z)(σ(z) − x₁)."""
    p = forward(np.tanh)
    update = kl.updates.ProximalGradient(steps=1)
    model = compiled(network("tanh"), kl.penalties.Quadratic(w), update)
    got = gradients(model)
    mu = step_length(model)
    x1 = (p.a + mu * (np.tanh(p.z1) - p.q / w)) / (1 + mu)
    check(got, w * (1 - p.a**2) * (p.a - x1), p.a, p.g2)


@pytest.mark.parametrize("w", [0.5, 3.0])
def test_two_mirror_steps(w):
    """v ← v + τ(z − q/w − v) again, q at the first x₁, which the output saw."""
    p = forward(np.tanh)
    update = kl.updates.Mirror(steps=2)
    model = compiled(network("tanh"), kl.penalties.Bregman(w), update)
    got = gradients(model)
    mu = step_length(model)
    tau = mu / (1 + mu)
    v1 = p.z1 - tau * p.q / w
    g2 = 2 / 3 * (np.tanh(v1) @ W2 + B2 - Y)
    v2 = v1 + tau * (p.z1 - g2 @ W2.T / w - v1)
    check(got, w * (p.a - np.tanh(v2)), np.tanh(v1), g2)


@pytest.mark.parametrize("w", [1e-3, 1.0, 1e4])
def test_quadratic_sweep_is_backprop(w):
    p = forward(np.tanh)
    model = compiled(network("tanh"), kl.penalties.Quadratic(w))
    check(gradients(model), (1 - p.a**2) * p.q, p.a, p.g2)


def test_converged_lifted_variables_are_stationary():
    """At the minimum in x₁: w(v₁ − z₁) + W₂g₂(x₁) = 0, for x₁ = σ(v₁)."""
    w = 0.8
    p = forward(np.tanh)
    for update in (
        kl.updates.Mirror(300, tolerance=1e-6),
        kl.updates.ProximalGradient(300, tolerance=1e-6),
        kl.updates.ProximalGradient(300, acceleration="nesterov", tolerance=1e-6),
    ):
        model = compiled(network("tanh"), kl.penalties.Bregman(w), update)
        x1 = model.lifted_variables(X, Y)["hidden"].astype("float64")
        g2 = 2 / 3 * (x1 @ W2 + B2 - Y)
        slope = w * (np.arctanh(x1) - p.z1) + g2 @ W2.T
        assert np.abs(slope).max() < 2e-3 < 1e-2 * np.abs(p.q).max()


def test_two_blocks_sweep():
    """δ_l = w(σ(z_l) − σ(z_l − q_l/w)), q_l = W_{l+1} δ_{l+1}, twice."""
    w, w3 = 2.0, RNG.normal(size=(3, 2))
    y = RNG.normal(size=(B, 2)).astype("float32")
    inputs = keras.Input((4,))
    x = layers.Dense(6, activation="relu")(inputs)
    x = layers.Dense(3, activation="tanh")(x)
    model = kl.LiftedModel(inputs, layers.Dense(2, use_bias=False)(x))
    model.set_weights([W1, B1, W2, B2, w3])
    compiled(model, kl.penalties.Bregman(w))
    z1 = X.astype("float64") @ W1 + B1
    z2 = relu(z1) @ W2 + B2
    g3 = np.tanh(z2) @ w3 - y  # mean over 2 outputs of squares
    d2 = w * (np.tanh(z2) - np.tanh(z2 - g3 @ w3.T / w))
    d1 = w * (relu(z1) - relu(z1 - d2 @ W2.T / w))
    got = gradients(model, X, y)
    expected = [X.T @ d1, d1.sum(0), relu(z1).T @ d2, d2.sum(0), np.tanh(z2).T @ g3]
    for each, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(each, wanted / B, rtol=2e-4, atol=2e-6)


# -- every activation tends to backprop ----------------------------------------------

ACTIVATIONS = {
    "identity": L.Identity,
    "relu": L.ReLU,
    "leaky_relu": lambda: L.LeakyReLU(0.3),
    "hard_tanh": lambda: L.HardTanh(-0.5, 2.0),
    "box_projection": lambda: L.BoxProjection(-np.inf, 1.0),
    "soft_threshold": lambda: L.SoftThreshold(0.4),
    "learnable_threshold": lambda: L.SoftThreshold(0.25, learnable=True),
    "dual_threshold": lambda: L.DualSoftThreshold(0.25, learnable=True),
    "group_soft_threshold": lambda: L.GroupSoftThreshold(0.7),
    "tanh": L.Tanh,
    "sigmoid": L.Sigmoid,
    "softplus": L.Softplus,
    "elu": L.ELU,
    "elu_half": lambda: L.ELU(0.5),
    "softsign": L.Softsign,
    "isru": L.ISRU,
    "isrlu": L.ISRLU,
    "arctan": L.Arctan,
    "bent_identity": L.BentIdentity,
    "signed_log": L.SignedLog,
    "softmax": L.Softmax,
    "simplex_projection": L.SimplexProjection,
    "l2_ball_projection": lambda: L.L2BallProjection(1.5),
}


def test_no_activation_is_forgotten():
    def layer(name):
        member = getattr(L, name)
        return isinstance(member, type) and issubclass(member, L.ProximalActivation)

    tested = {type(make()) for make in ACTIVATIONS.values()}
    offered = {getattr(L, name) for name in L.__all__ if layer(name)}
    assert tested == offered - {L.ProximalActivation}


def every_activation(cls):
    """One model with every activation, each in a branch of its own."""
    inputs = keras.Input((4,))
    branches = []
    for i, make in enumerate(ACTIVATIONS.values()):
        x = layers.Dense(5, kernel_initializer=_init(2 * i), name=f"in_{i}")(inputs)
        x = make()(x)
        branches.append(
            layers.Dense(2, kernel_initializer=_init(2 * i + 1), name=f"out_{i}")(x)
        )
    return cls(inputs, layers.Concatenate()(branches))


def _init(seed):
    return keras.initializers.RandomNormal(stddev=0.8, seed=seed)


@pytest.mark.parametrize("penalty", ["bregman", "quadratic"])
def test_sweep_tends_to_backprop(penalty):
    y = RNG.normal(size=(B, 2 * len(ACTIVATIONS))).astype("float32") * 20
    plain = every_activation(keras.Model)
    plain.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=COMPILED)
    expected = gradients(plain, X, y)
    model = every_activation(kl.LiftedModel)
    compiled(model, penalty)
    model.optimizer.build(model.trainable_variables)
    start = model.get_weights()
    for w in (1e4, 1e5, 1e6):
        model.optimizer.lifted.weight.assign([w] * len(ACTIVATIONS))
        model.set_weights(start)
        got = gradients(model, X, y)
        for variable, a, b in zip(model.weights, got, expected, strict=True):
            size = np.linalg.norm(a) / np.linalg.norm(b)
            cosine = np.vdot(a, b) / np.linalg.norm(b) ** 2 / size
            assert cosine > 0.9999, (w, variable.path)
            assert abs(size - 1) < 1e-3, (w, variable.path)


def test_infinite_weight_is_backprop():
    p = forward(np.tanh)
    model = compiled(network("tanh"), kl.penalties.Bregman(float("inf")))
    assert model.lifted_variables(X, Y) == {}
    check(gradients(model), (1 - p.a**2) * p.q, p.a, p.g2)
