"""A stack is the chain of its blocks, at a compile time flat in its depth."""

import time

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl
from keras_lifted.layers.chain import prefix_sums, suffix_sums
from tests.layers.compiled import REAL, array, jit, tensor
from tests.mistakes import expect_error

Stack = kl.layers.ProximalStack
RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 4)).astype("float32")
Y = RNG.normal(size=(5, 4)).astype("float32")
ACTIVATIONS = ["relu", "tanh", "softmax", kl.layers.GroupSoftThreshold(0.1)]


def stacked(depth=3, activation="tanh", shape=(4,), **kwargs):
    """A model of one stack with random weights."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, Stack(4, depth, activation, **kwargs)(inputs))
    for weight in model.weights:
        weight.assign(RNG.normal(size=weight.shape) * 0.5)
    return model


def chain_of(stack, shape=(4,)):
    """The same as Dense layers, each followed by its activation."""
    x = inputs = keras.Input(shape)
    for i in range(stack.depth):
        dense = layers.Dense(stack.units, use_bias=stack.use_bias)
        after = stack.activation(dense(x))
        x = layers.Add()([x, after]) if stack.residual else after
        dense.set_weights([w[i] for w in stack.get_weights()[: 1 + stack.use_bias]])
    return keras.Model(inputs, x)


def steps(model, x, y):
    """What one step of SGD(1) subtracts from the weights."""
    model.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=True)
    before = model.get_weights()
    model.train_on_batch(x, y)
    return [a - b for a, b in zip(before, model.get_weights())]


@pytest.mark.parametrize(
    "activation", ACTIVATIONS, ids=lambda value: getattr(value, "name", value)
)
@pytest.mark.parametrize("residual", [False, True])
def test_values_and_gradients_are_those_of_the_chain(activation, residual):
    model = stacked(3, activation, residual=residual)
    chain = chain_of(model.layers[-1])
    np.testing.assert_allclose(model.predict(X), chain.predict(X), atol=1e-6)
    kernel, bias = steps(model, X, Y)
    each = steps(chain, X, Y)
    np.testing.assert_allclose(kernel, np.stack(each[::2]), atol=1e-6)
    np.testing.assert_allclose(bias, np.stack(each[1::2]), atol=1e-6)


def test_further_axes_and_no_bias():
    model = stacked(2, "relu", shape=(3, 4), use_bias=False)
    assert len(model.weights) == 1
    x = RNG.normal(size=(2, 3, 4)).astype("float32")
    chain = chain_of(model.layers[-1], shape=(3, 4))
    np.testing.assert_allclose(model.predict(x), chain.predict(x), atol=1e-6)


def test_the_activation_shares_its_learnable_threshold():
    model = stacked(3, kl.layers.SoftThreshold(0.1, learnable=True))
    chain = chain_of(model.layers[-1])  # of that same activation layer
    shapes = [w.shape for w in model.trainable_weights]
    assert shapes == [(3, 4, 4), (3, 4), ()]
    np.testing.assert_allclose(model.predict(X), chain.predict(X), atol=1e-6)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16", REAL])
def test_precision(dtype):
    model = stacked(3, "tanh", dtype=dtype)
    got = model(tensor(X, keras.DTypePolicy(dtype).compute_dtype))
    expected = keras.DTypePolicy(dtype).compute_dtype
    assert keras.backend.standardize_dtype(got.dtype) == expected
    np.testing.assert_allclose(
        array(got), chain_of(model.layers[-1]).predict(X), atol=3e-2
    )


def test_save_and_load(tmp_path):
    model = stacked(3, kl.layers.SoftThreshold(0.2), residual=True)
    model.save(tmp_path / "stack.keras")
    loaded = keras.models.load_model(tmp_path / "stack.keras")
    np.testing.assert_array_equal(model.predict(X), loaded.predict(X))
    stack = loaded.layers[-1]
    assert (stack.units, stack.depth, stack.residual) == (4, 3, True)
    assert stack.activation.threshold == 0.2


def test_jit_gives_the_same():
    model = stacked()
    compiled = jit(lambda x: model(x))
    np.testing.assert_allclose(
        array(compiled(tensor(X))), array(model(tensor(X))), atol=1e-6
    )


# -- initial weights ------------------------------------------------------------------


def test_slices_are_initialised_like_dense_layers():
    stack = Stack(64, 3)
    stack.build((None, 64))
    slices = array(stack.kernel.value)
    limit = np.sqrt(6 / 128)
    for each in slices:
        assert 0.97 * limit < np.abs(each).max() <= limit
        assert abs(each.std() / (limit / np.sqrt(3)) - 1) < 0.05
    correlation = np.corrcoef(slices.reshape(3, -1)) - np.eye(3)
    assert np.abs(correlation).max() < 0.1


def test_a_seed_repeats_the_weights():
    stacks = [
        Stack(4, 3, kernel_initializer=keras.initializers.HeNormal(seed=1))
        for _ in range(2)
    ]
    for each in stacks:
        each.build((None, 4))
    one, two = (array(each.kernel.value) for each in stacks)
    np.testing.assert_array_equal(one, two)
    assert np.abs(one[0] - one[1]).min() > 0


def test_a_seed_generator_and_a_function_as_initializers():
    seed = keras.random.SeedGenerator(0)
    stack = Stack(
        4,
        2,
        kernel_initializer=keras.initializers.GlorotNormal(seed=seed),
        bias_initializer=lambda shape, dtype=None: keras.ops.ones(shape, dtype),
    )
    stack.build((None, 4))
    assert np.abs(np.diff(array(stack.kernel.value), axis=0)).min() > 0
    np.testing.assert_array_equal(array(stack.bias.value), 1)


# -- mistakes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be an integer of at least 1.*units=0"),
        ({"depth": 2.5}, "`depth` must be an integer.*blocks in a row.*depth=2.5"),
        ({"activation": "gelu"}, "no proximal map.*'gelu'"),
        ({"residual": 1}, "`residual` of ProximalStack must be a bool"),
        ({"use_bias": None}, "`use_bias` of ProximalStack must be a bool"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_bad_arguments(arguments, message):
    good = {"units": 4, "depth": 2, "activation": "relu"}
    expect_error(lambda: Stack(**{**good, **arguments}), ValueError, message)


def test_inputs_of_another_width():
    expect_error(
        lambda: Stack(4, 2)(np.ones((2, 3), "float32")),
        ValueError,
        r"expected inputs \(batch, ..., 4\).*\(2, 3\).*Dense\(4\)",
    )


# -- compile time ---------------------------------------------------------------------


def test_compile_time_is_flat_in_depth():
    def seconds(depth):
        model = stacked(depth, "relu", residual=True)
        start = time.process_time()  # of the processor: the machine may be busy
        steps(model, X, Y)
        return time.process_time() - start

    seconds(2)  # what the first compilation costs besides
    assert seconds(256) < 2 * seconds(16) + 0.5


@pytest.mark.parametrize("depth", [1, 2, 3, 8, 31, 32, 48, 80])
def test_sums_along_the_depth(depth):
    """By groups, where 16 and the depth have a common divisor."""
    terms = np.random.default_rng(depth).normal(size=(depth, 3, 2)).astype("float32")
    expected = np.cumsum(terms, axis=0)
    np.testing.assert_allclose(array(prefix_sums(terms)), expected, atol=1e-5)
    expected = np.cumsum(terms[::-1], axis=0)[::-1]
    np.testing.assert_allclose(array(suffix_sums(terms)), expected, atol=1e-5)
