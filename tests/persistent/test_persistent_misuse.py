"""Persistent training answers mistakes, and changes nothing."""

import numpy as np
import pytest
from networks import QUICK, assert_same, values
from persisted import BATCH, N, X, Y, build, dataset

import keras_lifted as kl


def plain_dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def generator():
    yield X, Y


def fitted():
    model = build()
    model.fit(X, Y, **BATCH)
    return model


def batch(index):
    build(persistent=N, **QUICK).train_on_batch(kl.indexed(X, index), Y)


BCD = kl.optimizers.BlockCoordinateDescent
MISUSE = {
    "dataset": (lambda: build(persistent=N).fit(plain_dataset()), "with_index"),
    "generator": (lambda: build(persistent=N).fit(generator()), "generator"),
    "batch": (lambda: build(persistent=N).train_on_batch(X, Y), "batch of arrays"),
    "number": (lambda: build().fit(dataset()), "number of training samples"),
    "other size": (lambda: fitted().fit(X[:9], Y[:9]), "12 samples. Received: 9"),
    "floats": (lambda: batch(np.ones(N, "float32")), "must be integers"),
    "column": (lambda: batch(np.ones((N, 1), "int32")), r"\(batch,\)"),
    "memory": (
        lambda: build(persistent=kl.optimizers.Persistent(10**9)).fit(dataset()),
        "41 GiB",
    ),
    "disk": (
        lambda: build(
            persistent=kl.optimizers.Persistent(10**13, directory="small_disk")
        ).fit(dataset()),
        "GiB to spare",
    ),
    "sweep": (lambda: BCD(persistent=True), "Choose steps bounded"),
    "samples": (lambda: BCD(persistent=-3), "at least 1"),
    "limit": (lambda: kl.optimizers.Persistent(memory_limit=0), "positive"),
    "word": (lambda: BCD(persistent="yes"), "True, False"),
    "order": (lambda: kl.updates.Mirror(order="random"), "red_black"),
    "arrays": (lambda: kl.with_index((X, Y)), "tf.data.Dataset of samples"),
}


@pytest.mark.parametrize("what", MISUSE)
def test_misuse(what, monkeypatch, tmp_path):
    act, words = MISUSE[what]
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, TypeError), match=words):
        act()


def test_an_index_outside_of_the_samples():
    model = build(0.1, persistent=N)
    before = values(model.weights)
    with pytest.warns(UserWarning, match="index outside of the samples"):
        model.fit(kl.indexed(X, np.arange(N) + 1), Y, batch_size=N, verbose=0)
    assert_same(values(model.weights), before)
    assert not values([model.optimizer.memory.seen])[0].any()
