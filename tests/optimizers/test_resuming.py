"""SteepestDescent saved, loaded, cloned, interrupted, and every way to run it."""

import keras
import numpy as np
import pytest
from keras import layers
from small import JAX, KINDS, QUICK, X, Y, assert_same, descent, fit, network, restored

import keras_lifted as kl

KRONECKER = {"geometry": "kronecker", "decay": "fit", "refresh_every": 3}


def compiled(kind=keras.Model, **kwargs):
    model = network(kind)
    model.compile(descent(**KRONECKER), "mse", **kwargs)
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_goes_on_exactly(kind, tmp_path):
    model = compiled(kind, **QUICK)
    fit(model, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = model.run_eagerly
    for each in (model, loaded):
        fit(each, 4)
    assert int(model.optimizer.iterations) == int(loaded.optimizer.iterations) == 7
    for one, other in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(JAX, reason="TensorFlow's export looks at the optimizer, too")
@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_model_can_be_exported(kind, tmp_path):
    model = compiled(kind, **QUICK)
    fit(model)
    model.export(tmp_path / "model", verbose=False)
    loaded = keras.layers.TFSMLayer(tmp_path / "model", call_endpoint="serve")
    np.testing.assert_allclose(loaded(X), model(X), rtol=1e-5, atol=1e-6)


class Stop(Exception):
    """What interrupts a fit."""


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise Stop


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_fit_is_resumed(kind, tmp_path):
    def callbacks(*more):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return [
            *([kl.callbacks.PlanFit()] if kind is keras.Model else []),
            backup,
            *more,
        ]

    whole, parts, resumed = (compiled(kind, **QUICK) for _ in range(3))
    plan = [kl.callbacks.PlanFit()] if kind is keras.Model else []
    fit(whole, 2, epochs=4, callbacks=plan)
    with pytest.raises(Stop):
        fit(parts, 2, epochs=4, callbacks=callbacks(Interrupt()))
    fit(resumed, 2, epochs=4, callbacks=callbacks())
    assert_same(whole, resumed)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_trains_alike(kind):
    model = compiled(kind, **QUICK)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.compile_from_config(model.get_compile_config())
    clone.run_eagerly = model.run_eagerly
    for each in (model, clone):
        fit(each, 2)
    assert_same(model, clone)


CONFIGS = {
    "defaults": {},
    "all": {
        "learning_rate": 0.03,
        "geometry": "spectral",
        "momentum": 0.5,
        "fallback": "nadam",
        "decay": 7,
        "max_relative_decrease": 0.2,
        "refresh_every": 3,
        "name": "mine",
        "weight_decay": 0.01,
        "clipnorm": 2.0,
        "use_ema": True,
        "ema_momentum": 0.9,
        "gradient_accumulation_steps": 2,
    },
    "objects": {
        "learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 10),
        "fallback": keras.optimizers.AdamW(0.02, weight_decay=0.3),
        "decay": None,
    },
    "FitDecay": {"learning_rate": kl.optimizers.FitDecay(0.1, 10)},
}


@pytest.mark.parametrize("settings", CONFIGS.values(), ids=CONFIGS)
def test_config(settings):
    optimizer = kl.optimizers.SteepestDescent(**settings)
    again = restored(optimizer)
    for name, value in settings.items():
        if name not in ("fallback", "learning_rate"):
            assert again.get_config()[name] == value
    assert type(again.fallback) is type(optimizer.fallback)
    assert float(again.learning_rate) == pytest.approx(float(optimizer.learning_rate))


def test_names():
    model = network(kl.LiftedModel)
    model.compile("steepest_descent", "mse")
    found = model.optimizer.weight_optimizer
    assert type(found) is kl.optimizers.SteepestDescent
    model.compile("isgm", "mse")
    assert type(model.optimizer) is kl.optimizers.ISGM


# -- ways to run ----------------------------------------------------------------------

RUNS = {
    "jit_compile": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 2, "jit_compile": "auto"},
    "run_eagerly": {"run_eagerly": True},
}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def reference(request):
    """One batch after the other."""
    model = compiled(request.param, jit_compile=JAX)
    for i in range(4):
        part = slice(8 * i, 8 * i + 8)
        model.train_on_batch(X[part], Y[part])
    return model


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS)
def test_ways_to_run(reference, settings):
    if JAX and "run_eagerly" in settings:
        pytest.skip("minutes")
    model = network(type(reference))
    model.compile(descent(**{**KRONECKER, "decay": None}), "mse", **settings)
    fit(model, 4)
    assert_same(model, reference, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(kind, policy):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,))
    x = layers.Dense(8, "relu", dtype=policy)(inputs)
    x = layers.Dense(3, dtype=policy)(x)
    model = kind(inputs, layers.Activation("linear", dtype="float32")(x))
    optimizer = kl.optimizers.SteepestDescent()
    if policy == "mixed_float16":
        optimizer = (
            kl.optimizers.get(optimizer) if kind is kl.LiftedModel else optimizer
        )
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer, "mse")
    losses = model.fit(X, Y, batch_size=8, epochs=8, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]
    assert all(np.isfinite(w).all() for w in model.get_weights())
