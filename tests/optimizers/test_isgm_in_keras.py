"""ISGM does what any Keras optimizer does."""

import keras
import numpy as np
import pytest
from fitted import ISGM
from fitted import X
from fitted import Y
from fitted import fitted
from fitted import mlp
from keras import layers

import keras_lifted as kl
from keras_lifted.optimizers.promise import FIRST


@pytest.mark.parametrize(
    "kwargs",
    [
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.9},
        {"weight_decay": 1e-3, "global_clipnorm": 1.0},
        {"persistent": True, "lifted_update": kl.updates.ProximalGradient(2)},
        {"lifted_update": "mirror", "penalty": "fenchel"},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.03, 60)},
        {"moment_refresh": 3, "factor_refresh": 5},
    ],
    ids=lambda kwargs: next(iter(kwargs)),
)
def test_what_any_keras_optimizer_does(kwargs):
    _, losses = fitted(ISGM(**kwargs))
    assert losses[-1] < 0.8 * losses[0]


def test_accumulation_moves_every_second_step():
    model = mlp()
    optimizer = ISGM(gradient_accumulation_steps=2)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=True)
    before = model.get_weights()
    model.train_on_batch(X[:32], Y[:32])
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.array_equal(old, new)
    model.train_on_batch(X[32:64], Y[32:64])
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_constraints_hold():
    model = mlp(kernel_constraint=keras.constraints.NonNeg())
    fitted(ISGM(), model, epochs=2)
    assert model.layers[1].kernel.numpy().min() >= 0.0


def test_frozen_kernels_and_biases_stay():
    model = mlp()
    model.get_layer("first").trainable = False
    before = model.get_layer("first").get_weights()
    fitted(ISGM(), model, epochs=2)
    for old, new in zip(before, model.get_layer("first").get_weights(), strict=True):
        assert np.array_equal(old, new)


def test_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = mlp()
        _, losses = fitted(ISGM(), model)
    finally:
        keras.config.set_dtype_policy(policy)
    assert losses[-1] < 0.5 * losses[0]


def stacked():
    """A stack of blocks, whose kernels and biases are matrices."""
    inputs = keras.Input((6,))
    h = kl.layers.ProximalStack(6, 3, "tanh", residual=True)(inputs)
    return kl.LiftedModel(inputs, layers.Dense(3, name="out")(h))


@pytest.mark.parametrize(
    "depth, residual, share", [(32, True, 0.5), (4, True, 1.0), (32, False, 1.0)]
)
def test_branches_that_add_up_share_their_step(depth, residual, share):
    inputs = keras.Input((6,))
    h = kl.layers.ProximalStack(6, depth, "tanh", residual=residual)(inputs)
    model = kl.LiftedModel(inputs, layers.Dense(3)(h))
    kernel = model.layers[1].kernel
    before = np.array(kernel)
    fitted(ISGM(0.1), model, epochs=1, x=X[:32], y=Y[:32])
    length = np.linalg.norm(np.array(kernel) - before, 2, axis=(1, 2))
    first = 0.1 * FIRST * (7 / 6) ** 0.5  # of the rate, and of matrices of 7 by 6
    parts = np.median(length) / (share * first)  # Newton-Schulz, roughly one
    assert 0.8 < parts < 1.21


@pytest.mark.parametrize("build", [mlp, pytest.param(stacked, marks=pytest.mark.slow)])
def test_resumes_bit_by_bit(build, tmp_path):
    options = {"epochs": 4, "shuffle": False}
    whole = build()
    save = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    fitted(ISGM(factor_refresh=3), whole, callbacks=[save], **options, xla=True)
    again = keras.models.load_model(tmp_path / "2.keras")
    again.fit(X, Y, batch_size=32, initial_epoch=2, verbose=0, **options)
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


def test_config():
    optimizer = ISGM(
        0.01,
        {"first": "spectral", "default": kl.geometries.Kronecker(damping=0.01)},
        inner_optimizer=keras.optimizers.SGD(0.5),
        decay_steps=7,
        weight_decay=0.1,
    )
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    assert again.geometry["default"].damping == 0.01
    assert again.weight_decay == 0.1


def test_attention_takes_proximal_steps():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 4))
    h = keras.layers.MultiHeadAttention(2, 3, name="attention")(inputs, inputs)
    h = kl.layers.ReLU()(keras.layers.Dense(8)(h))
    outputs = keras.layers.Dense(1)(keras.layers.Flatten()(h))
    model = kl.LiftedModel(inputs, outputs)
    optimizer = kl.optimizers.ISGM()
    model.compile(optimizer, loss="mse", jit_compile=False)
    x = np.random.default_rng(0).normal(size=(64, 6, 4)).astype("float32")
    y = x[:, :1, 0] * x[:, 1:2, 0]
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    losses = model.fit(x, y, batch_size=16, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert set(optimizer.chosen_geometries().values()) == {"Kronecker"}
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.any(keras.ops.convert_to_numpy(variable) != old)
