"""A stack of any block is the chain of single ones, and its loop compiles once."""

import time

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl
from tests.layers.blocks import PARAMETERS, TwoLayers, convolution
from tests.layers.compiled import array
from tests.mistakes import expect_error

Stack = kl.layers.Stack
RNG = np.random.default_rng(3)


def stacked(block, shape, depth=3, residual=False, **kwargs):
    inputs = keras.Input(shape)
    return keras.Model(inputs, Stack(block, depth, residual, **kwargs)(inputs))


def unrolled(model):
    """The same as single layers, and these."""
    stack = model.layers[-1]
    blocks = stack.get_blocks()
    x = inputs = keras.Input(model.input_shape[1:])
    for block in blocks:
        x = layers.Add()([x, block(x)]) if stack.residual else block(x)
    return keras.Model(inputs, x), blocks


def data(shape, rows=4):
    return RNG.normal(size=(rows, *shape)).astype("float32")


def values(variables):
    return [array(v.value) for v in variables]


def trained(model, x, y):
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=True)
    return model.train_on_batch(x, y)


@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("case", PARAMETERS)
def test_outputs_steps_and_state_are_those_of_single_blocks(case, residual):
    make, shape = case
    model = stacked(make(), shape, residual=residual)
    single, blocks = unrolled(model)
    x, y = data(shape), data(shape)
    close = {"atol": 1e-5, "rtol": 1e-4}
    outputs = [m.predict(x, verbose=0) for m in (model, single)]
    np.testing.assert_allclose(*outputs, **close)
    before = values(model.weights)
    losses = [trained(m, x, y) for m in (model, single)]
    np.testing.assert_allclose(*losses, **close)
    every = zip(*(values(b.weights) for b in blocks), strict=True)
    after = values(model.weights)
    for stack, each in zip(after, every, strict=True):
        np.testing.assert_allclose(stack, np.stack(each), **close)
    moved = [np.abs(a - b).max() > 1e-6 for a, b in zip(after, before)]
    names = [w.name for w in model.weights]
    # Keys of attention shift all scores of a query alike: that changes nothing.
    assert all(moved) or names.count("stacked_kernel") > 4


def test_every_block_starts_by_itself():
    block = layers.Dense(6, kernel_initializer=keras.initializers.HeNormal(seed=1))
    one, two = (stacked(block, (6,)).layers[-1].get_blocks() for _ in range(2))
    kernels = [array(each.kernel.value) for each in one]
    assert np.abs(np.diff(np.stack(kernels), axis=0)).min() > 0
    np.testing.assert_array_equal(kernels, [array(b.kernel.value) for b in two])


def test_dropout_has_its_own_seed_in_every_block():
    """Ones through blocks that keep half: equal masks would leave a half of them."""
    block = keras.Sequential(
        [layers.Dense(400, kernel_initializer="identity"), layers.Dropout(0.5, seed=1)]
    )
    stack = Stack(block, 3)
    x = np.ones((1, 400), "float32")
    first, second = (array(stack(x, training=True)) for _ in range(2))
    assert 0.05 < np.mean(first != 0) < 0.2
    assert np.mean((first != 0) != (second != 0)) > 0.1
    np.testing.assert_allclose(array(stack(x)), x)


def test_subclassed_blocks_train_and_are_saved(tmp_path):
    model = stacked(TwoLayers(), (6,), residual=True)
    x = data((6,))
    trained(model, x, x)
    path = tmp_path / "stack.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    outputs = [m.predict(x, verbose=0) for m in (model, loaded)]
    np.testing.assert_array_equal(*outputs)
    assert loaded.layers[-1].depth == 3


def test_clones_summaries_and_weights(capsys):
    model = stacked(convolution(), (5, 5, 4), name="blocks")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    x = data((5, 5, 4))
    np.testing.assert_array_equal(
        *(m.predict(x, verbose=0) for m in (model, clone)),
    )
    clone.summary()
    assert "blocks (Stack)" in capsys.readouterr().out
    assert clone.get_layer("blocks").block.layers[0].filters == 4
    assert model.count_params() == 3 * (9 * 16 + 4 * 4)


def test_blocks_give_and_take_their_weights():
    stack, other = (stacked(convolution(), (5, 5, 4)).layers[-1] for _ in range(2))
    other.set_blocks(stack.get_blocks())
    for a, b in zip(values(stack.weights), values(other.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mixed_precision():
    policy = "mixed_bfloat16"
    block = keras.Sequential(
        [layers.Dense(6, dtype=policy), layers.BatchNormalization(dtype=policy)]
    )
    model = stacked(block, (6,), dtype=policy)
    stack, x = model.layers[-1], data((6,))
    single, _ = unrolled(model)
    assert keras.backend.standardize_dtype(model(x).dtype) == "bfloat16"
    assert {str(v.dtype) for v in stack.weights} == {"float32"}
    got, wanted = (m.predict(x, verbose=0) for m in (model, single))
    np.testing.assert_allclose(got, wanted, atol=2e-2)


def test_regularizers_and_added_losses_count_once_for_each_block():
    block = layers.Dense(
        6,
        "tanh",
        kernel_regularizer=keras.regularizers.L2(0.1),
        activity_regularizer=keras.regularizers.L2(0.3),
        kernel_constraint=keras.constraints.UnitNorm(axis=0),
    )
    model = stacked(block, (6,))
    single, blocks = unrolled(model)
    x = data((6,))
    losses = [trained(m, x, x) for m in (model, single)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    kernels = [array(block.kernel.value) for block in blocks]
    np.testing.assert_allclose(array(model.weights[0].value), kernels, atol=1e-6)


def test_a_frozen_stack_keeps_its_state():
    model = stacked(convolution(), (5, 5, 4))
    model.layers[-1].trainable = False
    before, x = values(model.weights), data((5, 5, 4))
    model(x, training=True)
    for a, b in zip(before, values(model.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_frozen_block_makes_a_frozen_stack():
    block = convolution()
    block.trainable = False
    stack = stacked(block, (5, 5, 4)).layers[-1]
    before, x = values(stack.weights), data((5, 5, 4))
    stack(x, training=True)
    assert not stack.trainable_weights
    for a, b in zip(before, values(stack.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_masks_reach_the_blocks():
    inputs = keras.Input((None,), dtype="int32")
    attention = keras.Input((None, 8))
    mixed = layers.MultiHeadAttention(2, 4)(attention, attention)
    block = keras.Model(attention, mixed)
    h = layers.Embedding(5, 8, mask_zero=True)(inputs)
    model = keras.Model(inputs, Stack(block, 2)(h))
    tokens = np.array([[1, 2, 0, 0]])
    alone = model.predict(tokens[:, :2], verbose=0)
    padded = model.predict(tokens, verbose=0)[:, :2]
    np.testing.assert_allclose(alone, padded, atol=1e-5)


# -- mistakes -------------------------------------------------------------------------


def test_bad_arguments():
    block = layers.Dense(6)
    expect_error(lambda: Stack("relu", 2), ValueError, "repeats a Keras layer.*'relu'")
    expect_error(lambda: Stack(block, 0), ValueError, "`depth` must be an integer")
    expect_error(lambda: Stack(block, 2, 1), ValueError, "`residual` of Stack must be")
    other = np.ones((2, 3), "float32")
    expect_error(lambda: Stack(block, 2)(other), ValueError, r"shape of their.*\(2, 3")
    relu = layers.ReLU()
    expect_error(lambda: Stack(relu, 2)(other), ValueError, "weights of their own")
    stack = Stack(block, 2)
    stack.build((None, 6))
    blocks = stack.get_blocks()
    expect_error(lambda: stack.set_blocks(blocks[:1]), ValueError, "2 blocks.*: 1")
    expect_error(lambda: stack.set_blocks([relu] * 2), ValueError, "variables have")


# -- compile time ---------------------------------------------------------------------


@pytest.mark.slow
def test_compile_time_is_flat_in_depth():
    x = data((5, 5, 4))

    def seconds(depth):
        model = stacked(convolution(), (5, 5, 4), depth, residual=True)
        start = time.process_time()
        trained(model, x, x)
        return time.process_time() - start

    seconds(2)  # what the first compilation costs besides
    assert seconds(256) < 2 * seconds(16) + 0.5
