"""Persistent lifted variables are saved, and kept in files."""

import keras
import numpy as np
import pytest
from networks import assert_same, values
from persisted import BATCH, N, X, Y, build, coordinates

import keras_lifted as kl


def state(model):
    return values([*model.weights, *model.optimizer.variables])


def test_training_goes_on_bit_by_bit_after_loading(tmp_path):
    model = build(0.1)
    options = {"shuffle": False, **BATCH}
    model.fit(X, Y, epochs=2, **options)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(state(loaded), state(model))
    settings = loaded.optimizer.persistent
    assert settings.get_config() == model.optimizer.persistent.get_config()
    for each in (model, loaded):
        each.fit(X, Y, epochs=2, **options)
    assert_same(state(loaded), state(model))


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_backup_and_restore(tmp_path):
    def train(*callbacks):
        model = build(0.1)
        model.fit(X, Y, epochs=4, shuffle=False, callbacks=list(callbacks), **BATCH)
        return model

    backup = str(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        train(keras.callbacks.BackupAndRestore(backup), Interrupt())
    resumed = train(keras.callbacks.BackupAndRestore(backup))
    assert_same(state(resumed), state(train()))


def on_disk(folder, **options):
    """A model whose optimizer keeps lifted variables in files."""
    tight = kl.optimizers.Persistent(memory_limit=1e-9, directory=folder, **options)
    return build(0.1, persistent=tight, jit_compile=keras.backend.backend() == "jax")


def test_files_serve_as_memory_does(tmp_path):
    """Through shuffling, loading, and a folder that is gone."""
    model, other = on_disk(tmp_path / "a"), build(0.1)
    for each in (model, other):
        keras.utils.set_random_seed(3)
        each.fit(X, Y, epochs=3, batch_size=5, verbose=0)
    assert_same(values(model.weights), values(other.weights), atol=1e-5)
    assert_same(coordinates(model), coordinates(other), atol=1e-4)
    assert len(model.optimizer.memory.variables) == 1  # which samples were seen
    assert {each.name for each in (tmp_path / "a").iterdir()} == {
        "coordinate_0.npy",
        "coordinate_1.npy",
        "seen.npy",
    }
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(coordinates(loaded), coordinates(model))
    loaded.fit(X, Y, epochs=1, **BATCH)
    (tmp_path / "a").rename(tmp_path / "b")
    lost = keras.models.load_model(tmp_path / "model.keras")
    _, seen = lost.optimizer.memory.store.read(np.arange(N), np.ones(N, bool))
    assert not values([seen])[0].any()  # these start at the forward pass
    lost.fit(X, Y, epochs=1, **BATCH)
    assert np.isfinite(np.concatenate([w.ravel() for w in coordinates(lost)])).all()


@pytest.mark.slow
def test_files_of_other_shapes_are_replaced(tmp_path):
    on_disk(tmp_path).fit(X, Y, **BATCH)
    model = on_disk(tmp_path)
    model.fit(X[:9], Y[:9], epochs=2, **BATCH)
    assert model.optimizer.memory.store.read(np.arange(9), True)[1].shape == (9,)
    (tmp_path / "seen.npy").write_bytes(b"no numbers")
    on_disk(tmp_path).fit(X, Y, **BATCH)
    small = on_disk(tmp_path / "new", samples=N)
    small.optimizer.persistent.memory_limit = 4.0
    small.fit(X, Y, **BATCH)
    assert not (tmp_path / "new").exists()  # there was room in memory


def test_a_nan_batch_leaves_the_files(tmp_path):
    model = on_disk(tmp_path)
    model.fit(X, Y, **BATCH)
    before = coordinates(model)
    with pytest.warns(UserWarning, match="not finite"):
        model.fit(np.full_like(X, np.nan), Y, **BATCH)
    assert_same(coordinates(model), before)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA calls back")
def test_steps_that_read_files_leave_xla(tmp_path):
    tight = kl.optimizers.Persistent(memory_limit=1e-9, directory=tmp_path)
    model = build(0.1, persistent=tight, jit_compile=True)
    with pytest.warns(UserWarning, match="jit_compile=False"):
        model.fit(X, Y, **BATCH)
    assert values([model.optimizer.memory.seen])[0].all()
