"""The implicit stochastic gradient optimizer."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
from keras import ops

import keras_lifted as kl
from keras_lifted.lifting.inputs import find_affine
from keras_lifted.models.horizon import Horizon

ISGM = kl.optimizers.ISGM
layers = keras.layers
rng = np.random.default_rng(0)
X = rng.normal(size=(256, 6)).astype("float32")
Y = np.tanh(X @ rng.normal(size=(6, 3))).astype("float32")
IMAGES = rng.normal(size=(64, 8, 8, 2)).astype("float32")


def mlp(activation="relu", width=16, **kwargs):
    inputs = keras.Input((6,))
    h = layers.Dense(width, activation=activation, name="first", **kwargs)(inputs)
    h = layers.Dense(width, activation=activation, name="second")(h)
    return kl.LiftedModel(inputs, layers.Dense(3, name="out")(h))


def fitted(optimizer, model=None, epochs=8, x=X, y=Y, **kwargs):
    model = mlp() if model is None else model
    model.compile(optimizer=optimizer, loss="mse", jit_compile=True)
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, **kwargs)
    return model, history.history["loss"]


@pytest.mark.parametrize("geometry", ["auto", "covariance", "spectral", "frobenius"])
def test_every_geometry_trains(geometry):
    rate = 1.0 if geometry == "frobenius" else 0.03
    _, losses = fitted(ISGM(rate, geometry))
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
    _, losses = fitted(optimizer, model, x=IMAGES, y=target)
    assert losses[-1] < 0.5 * losses[0]
    chosen = optimizer.chosen_geometries()
    assert set(chosen) == {v.path for v in model.trainable_variables}
    for path, geometry in chosen.items():
        normal = path.split("/")[-1] in ("gamma", "beta")
        assert geometry == ("Adam" if normal else "Kronecker")


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(3, (3, 2), padding="same"),
        layers.Conv2D(3, 3, strides=2, padding="same"),
        layers.Conv2D(3, 3, strides=(2, 1)),
        layers.Conv2D(3, 3, dilation_rate=2, padding="same"),
        layers.Dense(4),
    ],
    ids=["same", "strided", "valid", "dilated", "dense"],
)
def test_rows_times_kernel_is_the_layer(layer):
    check_rows(layer, IMAGES[:2])


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
def test_rows_of_sequences(padding):
    check_rows(layers.Conv1D(3, 4, padding=padding), IMAGES[:2, 0])


def check_rows(layer, x):
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, layer(inputs))
    (affine,) = find_affine(model)
    rows = ops.convert_to_numpy(affine.rows(ops.convert_to_tensor(x)))
    kernel = ops.convert_to_numpy(layer.kernel).reshape(affine.inputs, affine.outputs)
    wanted = ops.convert_to_numpy(model(x)).reshape(-1, affine.outputs)
    assert np.allclose(rows @ kernel, wanted, atol=1e-4)


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


def test_a_kernel_that_starts_at_zero_moves():
    model = mlp()
    model.layers[-1].kernel.assign(np.zeros((16, 3)))
    _, losses = fitted(ISGM(), model)
    assert losses[-1] < 0.7 * losses[0]


def test_decay_covers_the_epochs_of_fit():
    optimizer = ISGM()
    model, _ = fitted(optimizer, epochs=4)
    assert float(optimizer.decay.length) == 32
    assert float(optimizer.decay.factor(optimizer.iterations - 1)) < 3e-3
    assert float(optimizer.decay.factor(optimizer.iterations)) == 1.0
    model.fit(X, Y, batch_size=32, epochs=2, verbose=0)
    assert float(optimizer.decay.begin) == 32
    assert float(optimizer.decay.length) == 16
    model.fit(X, Y, batch_size=32, initial_epoch=1, epochs=2, verbose=0)
    assert float(optimizer.decay.begin) == 48 - 8


def test_decay_counts_steps_that_are_not_known():
    model, optimizer = mlp(), ISGM()
    model.compile(optimizer=optimizer, loss="mse", jit_compile=True)
    optimizer.build(model.trainable_variables)
    watch = Horizon()
    watch.set_model(model)
    watch.set_params({"epochs": 3, "steps": None})
    watch.on_epoch_begin(0)
    assert float(optimizer.decay.length) == 0
    optimizer.iterations.assign(8)
    watch.on_epoch_begin(1)
    assert float(optimizer.decay.length) == 24


def test_a_schedule_takes_the_place_of_the_decay():
    optimizer = ISGM(keras.optimizers.schedules.CosineDecay(0.03, 60))
    fitted(optimizer, epochs=2)
    assert float(optimizer.decay.length) == 0


def test_decay_can_be_given_or_left_out():
    optimizer = ISGM(decay_steps=100)
    fitted(optimizer, epochs=2)
    assert float(optimizer.decay.length) == 100
    assert np.isclose(float(optimizer.decay.factor(50)), 0.5)
    assert float(optimizer.decay.factor(100)) == 0.0
    optimizer = ISGM(decay_steps=None)
    fitted(optimizer, epochs=2)
    assert float(optimizer.decay.factor(10**6)) == 1.0


@pytest.mark.parametrize(
    "kwargs",
    [
        {"gradient_accumulation_steps": 2},
        {"use_ema": True, "ema_momentum": 0.9},
        {"weight_decay": 1e-3, "global_clipnorm": 1.0},
        {"persistent": True, "lifted_update": kl.updates.ProximalGradient(2)},
        {"lifted_update": "mirror", "penalty": "fenchel"},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.03, 60)},
        {"direction_refresh": 3, "factor_refresh": 5},
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


def test_factors_are_refreshed_while_steps_grow():
    optimizer = ISGM(factor_refresh=6)
    optimizer.build([keras.Variable(np.zeros(3))])
    due = []
    for step in range(18):
        optimizer.iterations.assign(step)
        due.append(bool(optimizer._due()[1]))
    assert {i for i, each in enumerate(due) if each} == {0, 1, 2, 3, 5, 6, 12}


def test_decay_counts_steps_of_several_batches():
    optimizer = ISGM(gradient_accumulation_steps=2)
    fitted(optimizer, epochs=3)
    assert float(optimizer.decay.length) == 12
    assert float(optimizer.decay.factor(optimizer.iterations - 1)) < 0.02


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


def test_resumes_bit_by_bit(tmp_path):
    options = {"epochs": 4, "shuffle": False}
    part, whole = mlp(), mlp()
    for model in (part, whole):
        model.set_weights(start())
    fitted(ISGM(factor_refresh=3), whole, **options)
    part.compile(optimizer=ISGM(factor_refresh=3), loss="mse", jit_compile=True)
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(part, "stop_training", epoch == 1)
    )
    fit = {"batch_size": 32, "epochs": 4, "verbose": 0, "shuffle": False}
    part.fit(X, Y, callbacks=[stop], **fit)
    part.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    again.fit(X, Y, initial_epoch=2, **fit)
    for one, other in zip(whole.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(one, other)


def start():
    generator = np.random.default_rng(5)
    return [generator.normal(size=w.shape) * 0.3 for w in mlp().get_weights()]


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


def test_what_tensorboard_shows():
    optimizer = ISGM()
    fitted(optimizer, epochs=1)
    shown = optimizer.scalars()
    assert set(shown) == {"decay", *(f"change/{n}" for n in ("first", "second", "out"))}
    assert 0.0 < shown["change/out"] <= 0.1


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


@settings(max_examples=3, derandomize=True)
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
