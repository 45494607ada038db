"""A stack is lifted like the chain of its blocks, in one batched operation."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"
COMPILED = "auto" if JAX else False
RNG = np.random.default_rng(11)
X = RNG.normal(size=(5, 3)).astype("float32")
Y = RNG.normal(size=(5, 2)).astype("float32")
DEPTH = 4


def chain_model(activation, residual):
    """Dense layers, their activations, and skips around them."""
    inputs = keras.Input((3,))
    x = layers.Dense(4, "tanh", name="first")(inputs)
    for i in range(DEPTH):
        after = activation(layers.Dense(4, name=f"block_{i}")(x))
        x = layers.Add()([x, after]) if residual else after
    model = kl.LiftedModel(inputs, layers.Dense(2, name="last")(x))
    for weight in model.trainable_weights:
        if weight.shape:
            weight.assign(RNG.normal(size=weight.shape) * 0.5)
    return model


def pair(activation, residual=False):
    chain = chain_model(activation, residual)
    return chain, kl.stack(chain)


def compiled(model, update=None, penalty=None, **kwargs):
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.SGD(1.0), penalty or kl.penalties.Bregman(2.0), update
    )
    model.compile(optimizer, "mse", **{"jit_compile": COMPILED, **kwargs})
    return model


def steps(model):
    """What one step of SGD(1) subtracts from the weights, by layer and name."""
    before = model.get_weights()
    model.train_on_batch(X, Y)
    names = [w.path for w in model.weights]
    steps = {n: a - b for n, a, b in zip(names, before, model.get_weights())}
    model.set_weights(before)  # the models share layers
    return steps


def check(chain, stacked):
    """Equal steps of the weights; those of the blocks stacked."""
    got, expected = steps(stacked), steps(chain)
    name = next(each.name for each in stacked.layers if each.name.count("stack"))
    for each in ("kernel", "bias"):
        blocks = [expected.pop(f"block_{i}/{each}") for i in range(DEPTH)]
        close(got.pop(f"{name}/{each}"), np.stack(blocks))
        assert np.abs(blocks).max() > 1e-3
    for path, step in expected.items():
        close(got[path], step)


def close(got, wanted):
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=2e-6)


CASES = {
    "relu": (kl.layers.ReLU(), False, "bregman"),
    "tanh": (kl.layers.Tanh(), True, "bregman"),
    "learnable": (kl.layers.SoftThreshold(0.1, learnable=True), True, "bregman"),
    "softmax": (kl.layers.Softmax(), False, "quadratic"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_sweep_is_that_of_the_chain(case):
    activation, residual, penalty = case
    chain, stacked = pair(activation, residual)
    check(compiled(chain, penalty=penalty), compiled(stacked, penalty=penalty))
