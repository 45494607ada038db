"""The implicit stochastic gradient optimizer."""

import os

import keras
import numpy as np
import pytest
from fitted import IMAGES
from fitted import ISGM
from fitted import X
from fitted import Y
from fitted import fitted
from fitted import mlp
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import layers

import keras_lifted as kl
from keras_lifted.optimizers.promise import Promise


@pytest.mark.parametrize(
    "geometry",
    [
        "auto",
        *(
            pytest.param(g, marks=pytest.mark.slow)
            for g in ("covariance", "spectral", "frobenius")
        ),
    ],
)
def test_every_geometry_trains(geometry):
    rate = 1.0 if geometry == "frobenius" else 0.03
    _, losses = fitted(ISGM(rate, geometry), xla=True)
    assert losses[-1] < 0.5 * losses[0]


def test_default_beats_adam_after_the_same_epochs():
    _, own = fitted(ISGM())
    _, adam = fitted("adam", mlp())
    assert own[-1] < adam[-1]


def test_convolutions_normalisation_and_slopes():
    inputs = keras.Input((8, 8, 2))
    h = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    h = layers.BatchNormalization()(h)
    h = kl.layers.LeakyReLU(0.2)(layers.Conv2D(6, 3, use_bias=False)(h))
    model = kl.LiftedModel(inputs, layers.Dense(2)(layers.Flatten()(h)))
    target = IMAGES.mean(axis=(1, 2))
    optimizer = ISGM()
    _, losses = fitted(optimizer, model, epochs=24, x=IMAGES, y=target)
    assert losses[-1] < 0.5 * losses[0]
    chosen = optimizer.chosen_geometries()
    assert set(chosen) == {v.path for v in model.trainable_variables}
    for path, geometry in chosen.items():
        normal = path.split("/")[-1] in ("gamma", "beta")
        assert geometry == ("Adam" if normal else "Kronecker")


def test_a_shift_of_the_inputs_changes_nothing():
    plain, shifted = mlp(), mlp()
    shifted.set_weights(plain.get_weights())
    kernel, bias, *_ = shifted.get_weights()
    shift = np.full(6, 3.0, "float32")
    shifted.layers[1].bias.assign(bias - shift @ kernel)
    fitted(ISGM(), plain, epochs=3, shuffle=False)
    fitted(ISGM(), shifted, epochs=3, x=X + shift, shuffle=False)
    one = plain.predict(X, verbose=0)
    other = shifted.predict(X + shift, verbose=0)
    assert np.abs(one - other).max() < 2e-2 * np.abs(one).max()


def test_no_step_moves_preactivations_further_than_allowed():
    optimizer = ISGM(50.0, largest_change=0.05)
    _, losses = fitted(optimizer, epochs=2)
    assert np.isfinite(losses).all()
    for block in optimizer.weight_blocks:
        assert 0.0 < float(block.change) <= 0.05 * 1.0001


def test_steps_promise_no_more_than_allowed():
    optimizer = ISGM(50.0, largest_change=1e8, largest_decrease=0.02, decay_steps=None)
    _, losses = fitted(optimizer, epochs=3)
    assert losses[-1] < losses[0]
    promised = sum(float(block.decrease) for block in optimizer.weight_blocks)
    assert promised > losses[-1]  # of whole steps; the last was taken in part,
    assert float(optimizer.promise.part) * promised < 0.04 * losses[-1]


@given(st.floats(0.0, 10.0), st.floats(1e-3, 10.0))
@settings(max_examples=50, deadline=None)
def test_the_part_of_all_steps_promises_what_is_allowed(promised, loss):
    promise = Promise.build(keras.optimizers.SGD())
    promise.square.assign(loss**2)
    promise.limit(keras.ops.convert_to_tensor(promised), 0.5)
    part, allowed = float(promise.part), 0.5 * loss
    assert part * promised <= allowed * (1.0 + 1e-4)
    assert part == 1.0 or np.isclose(part * promised, allowed, rtol=1e-3)


def test_the_scale_of_the_loss_changes_nothing():
    start = mlp().get_weights()
    ends = []
    exact = kl.penalties.Bregman(float("inf"))  # finite ones weigh against the loss
    for scale in (1.0, 2.0**-10, 2.0**10):
        model = mlp()
        model.set_weights(start)
        squared = keras.losses.MeanSquaredError()
        model.compile(ISGM(penalty=exact), squared, loss_weights=[scale])
        model.fit(X, Y, epochs=2, verbose=0, shuffle=False)
        ends.append(model.predict(X, verbose=0))
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    "depth, epochs", [(2, 8), pytest.param(24, 24, marks=pytest.mark.slow)]
)
def test_every_depth_trains_at_the_default_rate(depth, epochs):
    inputs = h = keras.Input((6,))
    for _ in range(depth):
        h = layers.Dense(16, activation="tanh")(h)
    model = kl.LiftedModel(inputs, layers.Dense(3)(h))
    _, losses = fitted(ISGM(), model, epochs=epochs)
    assert losses[-1] < 0.2 * losses[0]
    assert max(losses) == losses[0]


def test_tied_convolutions_move_in_the_spectral_norm():
    model = kl.models.proximal_network((8, 8, 2), filters=4, steps=2)
    optimizer = ISGM()
    clean = IMAGES[..., :1] * np.ones(2, "float32")
    _, losses = fitted(optimizer, model, epochs=8, x=IMAGES, y=clean)
    assert losses[-1] < 0.8 * losses[0]
    for path, geometry in optimizer.chosen_geometries().items():
        kernel = path.split("/")[-1] == "kernel"
        assert geometry == ("Spectral" if kernel else "Adam")


def chain_and_stack(use_bias):
    """The same network of three blocks in a row, as Dense layers and as a stack."""
    keras.utils.set_random_seed(0)
    inputs = h = keras.Input((6,))
    for i in range(3):
        after = kl.layers.Tanh()(layers.Dense(6, use_bias=use_bias, name=f"{i}")(h))
        h = layers.Add()([h, after])
    outputs = layers.Dense(3, use_bias=False, name="out")(h)
    chain = kl.LiftedModel(inputs, outputs)
    copy = keras.models.clone_model(chain)
    copy.set_weights(chain.get_weights())
    return chain, kl.stack(copy)


def test_a_stack_moves_like_spectral_dense_layers(monkeypatch):
    # The stack's part of noise is taken from the other layers: let all count as noisy.
    monkeypatch.setattr("keras_lifted.geometries.momentum.NOISE", 1e9)
    chain, stacked = chain_and_stack(use_bias=False)
    for model in (chain, stacked):
        fitted(ISGM(0.1, "spectral", largest_change=1e6), model, 2, shuffle=False)
    blocks = np.stack([chain.get_layer(f"{i}").get_weights()[0] for i in range(3)])
    (stack,) = (each for each in stacked.layers if hasattr(each, "depth"))
    got, last = stack.get_weights()[0], stacked.layers[-1].get_weights()[0]
    np.testing.assert_allclose(got, blocks, rtol=0, atol=1e-4)
    np.testing.assert_allclose(last, chain.layers[-1].get_weights()[0], atol=1e-4)


def test_the_biases_of_a_stack_are_rows_of_its_matrices():
    """The first step, a tenth of the rate, against singular values."""
    _, model = chain_and_stack(use_bias=True)
    optimizer = ISGM(0.3, momentum=0.0)
    model.compile(optimizer, "mse")
    (stack,) = (each for each in model.layers if hasattr(each, "depth"))
    before = [np.array(w) for w in stack.get_weights()]
    model.train_on_batch(X, Y)
    steps = [a - b for a, b in zip(before, stack.get_weights(), strict=True)]
    (block,) = optimizer.matrix_blocks
    momenta = (block.kernel_momentum, block.bias.mean)
    gradient = [keras.ops.convert_to_numpy(each) for each in momenta]
    for step, slope in zip(_joint(*steps), _joint(*gradient), strict=True):
        u, _, vt = np.linalg.svd(slope, full_matrices=False)
        length = 0.03 * (slope.shape[0] / slope.shape[1]) ** 0.5  # of rate and shape
        parts = np.diag(u.T @ step @ vt.T) / length  # Newton-Schulz, roughly one
        assert np.all((parts > 0.6) & (parts < 1.21))
        np.testing.assert_allclose((u * parts) @ vt * length, step, atol=2e-5)
    chosen = optimizer.chosen_geometries()
    paths = {stack.kernel.path, stack.bias.path}
    assert {p for p, name in chosen.items() if name == "Spectral"} == paths


def _joint(kernel, bias):
    return np.concatenate([kernel, bias[:, None]], axis=1)


def test_a_frozen_stack_stays():
    _, model = chain_and_stack(use_bias=True)
    (stack,) = (each for each in model.layers if hasattr(each, "depth"))
    stack.bias.trainable = False
    before = [np.array(w) for w in stack.get_weights()]
    fitted(ISGM(), model, epochs=1)
    kernel, bias = stack.get_weights()
    assert np.array_equal(bias, before[1])
    assert not np.allclose(kernel, before[0])


def test_a_kernel_that_starts_at_zero_moves():
    model = mlp()
    model.layers[-1].kernel.assign(np.zeros((16, 3)))
    _, losses = fitted(ISGM(), model)
    assert losses[-1] < 0.7 * losses[0]


def test_factors_are_refreshed_while_steps_grow():
    optimizer = ISGM(factor_refresh=6)
    optimizer.build([keras.Variable(np.zeros(3))])
    due = []
    for step in range(18):
        optimizer.iterations.assign(step)
        due.append(bool(optimizer._due.factors))
    assert {i for i, each in enumerate(due) if each} == {0, 1, 3, 6, 12}


def test_what_tensorboard_shows():
    optimizer = ISGM()
    fitted(optimizer, epochs=1)
    shown = optimizer.scalars()
    names = ("first", "second", "out")
    assert set(shown) == {
        "allowed",
        "decay",
        *(f"{what}/{name}" for what in ("change", "signal") for name in names),
    }
    assert 0.0 < shown["change/out"] <= 0.1
    assert all(0.0 <= shown[f"signal/{name}"] <= 1.0 for name in names)


def test_geometry_by_layer():
    optimizer = ISGM(geometry={"first": "spectral", "default": "covariance"})
    fitted(optimizer, epochs=1)
    chosen = optimizer.chosen_geometries()
    assert chosen["first/kernel"] == "Spectral"
    assert chosen["out/bias"] == "Covariance"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ISGM(geometry="euclid"), "geometry.*Received: 'euclid'"),
        (lambda: ISGM(momentum=1.0), "momentum.*Received: momentum=1.0"),
        (lambda: ISGM(decay_steps=0), "decay_steps.*Received: decay_steps=0"),
        (lambda: ISGM(largest_change=0), "largest_change.*Received"),
        (lambda: ISGM(largest_decrease="a"), "largest_decrease.*Received"),
        (lambda: ISGM(factor_refresh=0.5), "factor_refresh.*Received"),
        (lambda: ISGM(inner_optimizer=ISGM()), "inner_optimizer.*Received"),
        (lambda: ISGM().chosen_geometries(), "when the optimizer is built"),
        (
            lambda: fitted(ISGM(geometry={"frist": "spectral"})),
            "unknown names: .'frist'.*first",
        ),
    ],
)
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# SETTINGS=200 tries that many.
@settings(max_examples=int(os.environ.get("SETTINGS", "3")), derandomize=True)
@given(
    rate=st.sampled_from([1e-4, 0.02, 1.0, 100.0]),
    geometry=st.sampled_from(["auto", "covariance", "spectral", "frobenius"]),
    weight=st.sampled_from([0.03, 1.0, 1e5]),
    activation=st.sampled_from(["relu", "sigmoid", "tanh", "softmax"]),
    depth=st.integers(1, 4),
    scale=st.sampled_from([1e-4, 1.0, 1e4]),
)
def test_no_setting_gives_nan(rate, geometry, weight, activation, depth, scale):
    inputs = h = keras.Input((6,))
    for _ in range(depth):
        h = layers.Dense(8, activation=activation)(h)
    model = kl.LiftedModel(inputs, layers.Dense(3)(h))
    optimizer = ISGM(rate, geometry, penalty=kl.penalties.Bregman(weight))
    _, losses = fitted(optimizer, model, epochs=2, x=scale * X)
    assert np.isfinite(losses).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("hidden, rate", [(2, 0.1), (8, 0.1), (9, 0.081), (30, 0.02)])
def test_the_default_rate_falls_with_depth(hidden, rate):
    assert np.isclose(_built(ISGM(), hidden).learning_rate, rate)


def test_every_block_of_a_stack_counts_as_a_kernel():
    inputs = keras.Input((2,))
    h = kl.layers.ProximalStack(2, 17)(inputs)
    model = kl.LiftedModel(inputs, layers.Dense(1)(h))
    optimizer = ISGM()
    model.compile(optimizer, "mse")
    optimizer.build(model.trainable_variables)
    assert float(optimizer.learning_rate) == pytest.approx(0.025)


def test_a_given_rate_stays_at_every_depth():
    assert np.isclose(_built(ISGM(0.1), 30).learning_rate, 0.1)
    assigned = ISGM()
    assigned.learning_rate = 0.3
    assert np.isclose(_built(assigned, 30).learning_rate, 0.3)
    again = ISGM.from_config(assigned.get_config())
    assert np.isclose(_built(again, 30).learning_rate, 0.3)


def test_a_default_rate_stays_a_default_in_the_config():
    config = _built(ISGM(), 30).get_config()
    assert np.isclose(_built(ISGM.from_config(config), 2).learning_rate, 0.1)


def _built(optimizer, hidden):
    layers = [keras.layers.Dense(3, "relu") for _ in range(hidden)]
    model = kl.LiftedSequential([keras.Input((3,)), *layers, keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model.optimizer
