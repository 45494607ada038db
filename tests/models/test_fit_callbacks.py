"""Callbacks and metrics of `fit`."""

import keras
import numpy as np
import pytest
from networks import COMPILED, assert_same, data, target, values
from recipes import SGD, bcd, lifted_metrics, small

import keras_lifted as kl


def test_callbacks_see_the_learning_rate():
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    model.compile(bcd(SGD(0.5)), "mse", jit_compile=COMPILED)
    assert float(model.optimizer.learning_rate) == 0.5
    callbacks = [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5),
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=1, min_delta=9),
    ]
    history = model.fit(
        data(4), target(), epochs=3, verbose=0, callbacks=callbacks
    ).history
    assert float(model.optimizer.weight_optimizer.learning_rate) < 0.01
    rates = history["learning_rate"]
    np.testing.assert_allclose(rates, [0.25, 0.125, 0.00625], rtol=1e-5)


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore(tmp_path):
    def train(epochs, *callbacks, stop=False):
        plain = small()
        model = kl.LiftedModel(plain.inputs, plain.outputs)
        optimizer = bcd("adam", update=kl.updates.Mirror(1), curvature_refresh=3)
        model.compile(optimizer, "mse", jit_compile=COMPILED)
        arguments = {"epochs": epochs, "batch_size": 16, "shuffle": False}
        arguments |= {"verbose": 0, "callbacks": list(callbacks)}
        if not stop:
            model.fit(data(4), target(), **arguments)
            return model
        with pytest.raises(KeyboardInterrupt):
            model.fit(data(4), target(), **arguments)

    backup = str(tmp_path / "backup")
    expected = train(4)
    train(4, keras.callbacks.BackupAndRestore(backup), Interrupt(), stop=True)
    model = train(4, keras.callbacks.BackupAndRestore(backup))
    assert int(model.optimizer.iterations) == 8
    assert_same(values(model.weights), values(expected.weights), atol=1e-5)
    state = values(model.optimizer.variables)
    assert_same(state, values(expected.optimizer.variables), rtol=1e-3, atol=1e-5)


def test_logs_are_those_of_keras():
    x, y = data(4), target()
    logs = []
    for cls in (keras.Model, kl.LiftedModel):
        model = cls(*(lambda m: (m.inputs, m.outputs))(small()))
        model.compile("sgd", "mse", metrics=["mae"], jit_compile=COMPILED)
        fitted = model.fit(x, y, batch_size=32, validation_data=(x, y), verbose=0)
        on_batch = model.train_on_batch(x, y), model.test_on_batch(x, y)
        logs.append((set(fitted.history), [np.shape(each) for each in on_batch]))
    assert logs[0] == logs[1]


def test_lifted_metrics_belong_to_training():
    plain = small()
    model = kl.LiftedModel(plain.inputs, plain.outputs)
    optimizer = bcd("sgd", kl.penalties.Quadratic(1.0))
    metrics = ["mae", *lifted_metrics()]
    model.compile(optimizer, "mse", metrics=metrics, jit_compile=COMPILED)
    x, y = data(4), target()
    gap, lifted = model.lifted_gaps(x, y), model.lifted_variables(x, y)
    size = 0.5 * np.square(lifted["hidden"]).sum(axis=1).mean()
    history = model.fit(
        x, y, batch_size=len(x), validation_data=(x, y), verbose=0
    ).history
    trained = {"loss", "mae", "lifted_gap", "lifted_energy"}
    assert set(history) == trained | {"val_loss", "val_mae"}
    expected = np.sqrt(gap["hidden"] / size)
    np.testing.assert_allclose(history["lifted_gap"], [expected], rtol=1e-3)
    energy = history["loss"][0] + gap["hidden"]
    np.testing.assert_allclose(history["lifted_energy"], [energy], rtol=1e-3)
    evaluated = model.evaluate(x, y, verbose=0, return_dict=True)
    assert set(evaluated) == {"loss", "mae"}
