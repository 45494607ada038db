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
    rng = np.random.default_rng(12)  # its own: no test depends on those before it
    for weight in model.trainable_weights:
        if weight.shape:
            weight.assign(rng.normal(size=weight.shape) * 0.5)
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
        stacked_name = "stacked_kernel" if each == "kernel" else each
        close(got.pop(f"{name}/{stacked_name}"), np.stack(blocks))
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


# -- all at once ----------------------------------------------------------------------


@pytest.mark.parametrize("residual", [False, True])
def test_as_many_rounds_as_blocks_are_the_sweep(residual):
    _, stacked = pair(kl.layers.Tanh(), residual)
    expected = steps(compiled(stacked))
    update = kl.updates.AllAtOnce(DEPTH, DEPTH, tolerance=None)
    got = steps(compiled(stacked, update, jit_compile=True))
    for path, step in expected.items():
        close(got[path], step)


def test_few_rounds_come_close_where_branches_are_small():
    _, stacked = pair(kl.layers.Tanh(), True)
    kernel = next(w for w in stacked.weights if len(w.shape) == 3)
    kernel.assign(0.3 * kernel)
    exact = steps(compiled(stacked))[kernel.path]

    def error(rounds):
        update = kl.updates.AllAtOnce(*rounds, tolerance=None)
        got = steps(compiled(stacked, update))[kernel.path]
        return np.linalg.norm(got - exact) / np.linalg.norm(exact)

    errors = [error(rounds) for rounds in ((1, 1), (2, 1), (3, 2))]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 0.05


@pytest.mark.parametrize("residual", [False, True])
def test_rounds_stop_once_they_have_settled(residual):
    """More rounds than blocks change nothing, in a step that is compiled or not."""
    _, stacked = pair(kl.layers.SoftThreshold(0.1, learnable=True), residual)
    expected = steps(compiled(stacked))
    for xla in (True, False):
        update = kl.updates.AllAtOnce(1000, 1000, tolerance=1e-6)
        for path, step in steps(compiled(stacked, update, jit_compile=xla)).items():
            close(step, expected[path])


class Scaled(kl.updates.LiftedUpdate):
    """An update whose curvature is given: that of single blocks is another."""

    def __init__(self, update):
        self.update = update

    def solve(self, problem, curvature):
        ones = keras.ops.ones((len(problem.blocks),))
        return self.update.solve(problem, 4.0 * ones)


ORDERED = {
    "jacobi": kl.updates.Mirror(2, order="jacobi"),
    "in turn": kl.updates.ProximalGradient(3),
    "nesterov": kl.updates.ProximalGradient(3, "nesterov"),
}


@pytest.mark.slow
@pytest.mark.parametrize("update", ORDERED.values(), ids=ORDERED)
def test_repeated_updates_are_those_of_the_chain(update):
    """Where a block reads one lifted variable: both divide steps alike."""
    chain, stacked = pair(kl.layers.Tanh(), False)
    penalty = kl.penalties.Bregman(2.0)
    check(*(compiled(m, Scaled(update), penalty) for m in (chain, stacked)))


# -- everything else of lifted training ------------------------------------------------


def residual_model():
    return pair(kl.layers.Tanh(), True)[1]


def test_lifted_variables_and_gaps():
    model = compiled(residual_model())
    name = model.layers[2].name
    assert model.lifted_variables(X, Y)[name].shape == (5, DEPTH, 4)
    assert model.lifted_gaps(X, Y)[name] > 0


@pytest.mark.slow
def test_energy_falls_with_persistent_lifted_variables():
    model = residual_model()
    update = kl.updates.ProximalGradient(3, order="jacobi")
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.SGD(0.01), kl.penalties.Bregman(1.0), update, persistent=True
    )
    metrics = [kl.metrics.LiftedEnergy()]
    model.compile(optimizer, "mse", metrics=metrics, jit_compile=True)
    history = model.fit(X, Y, batch_size=5, epochs=8, verbose=0).history
    assert np.all(np.diff(history["lifted_energy"]) < 0)
    kept = [v.shape for v in model.optimizer.memory.variables]
    assert (5, DEPTH, 4) in kept


def test_mixed_precision():
    inputs = keras.Input((3,))
    stack = kl.layers.ProximalStack(3, 4, "tanh", True, dtype="mixed_float16")
    model = kl.LiftedModel(inputs, layers.Dense(2)(stack(inputs)))
    model.compile("adam", "mse", jit_compile=True)
    history = model.fit(X, Y, batch_size=5, epochs=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_a_stack_as_output_is_lifted():
    inputs = keras.Input((3,))
    outputs = kl.layers.ProximalStack(3, 4, "tanh", name="stack")(inputs)
    model = compiled(kl.LiftedModel(inputs, outputs))
    model.train_on_batch(X, X)
    assert list(model.lifted_variables(X, X)) == ["stack"]


def test_infinite_weight_is_backprop():
    _, stacked = pair(kl.layers.Tanh(), True)
    got = steps(compiled(stacked, penalty=kl.penalties.Bregman(float("inf"))))
    plain = keras.Model(stacked.inputs, stacked.outputs)
    plain.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=True)
    for path, step in steps(plain).items():
        close(got[path], step)
