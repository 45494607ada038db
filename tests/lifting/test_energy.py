"""The energy of random networks, and properties of its minimisation."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_lifted as kl
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import find_blocks
from keras_lifted.lifting.curvature import curvature
from keras_lifted.lifting.problem import LiftedProblem

JAX = keras.backend.backend() == "jax"
NETWORKS = 8 if JAX else 36  # each is compiled anew on JAX
SOFT = kl.penalties.Bregman(1.0)
ROUNDING = 1e-5 if JAX else 1e-6
STEPS = (1, 2, 3, 5, 10)
CLASSES = 3
SEPARABLE = (
    kl.layers.ReLU,
    lambda: kl.layers.LeakyReLU(0.2),
    kl.layers.Tanh,
    kl.layers.Sigmoid,
    kl.layers.ELU,
    kl.layers.Softplus,
    lambda: kl.layers.SoftThreshold(0.2),
    kl.layers.HardTanh,
    kl.layers.SignedLog,
    kl.layers.ISRU,
    lambda: kl.layers.GroupSoftThreshold(0.3),
)


def random_network(seed):
    """A multilayer perceptron, its data and its loss."""
    rng = np.random.default_rng(seed)
    depth, width = rng.integers(1, 4), int(rng.integers(3, 12))
    scale = rng.uniform(0.3, 2.0)  # spectral norms up to about 4
    inputs = x = keras.Input((5,))
    for i in range(depth):
        start = keras.initializers.RandomNormal(scale / np.sqrt(width), seed=i + seed)
        x = layers.Dense(width, kernel_initializer=start)(x)
        x = SEPARABLE[rng.integers(len(SEPARABLE))]()(x)
    outputs = layers.Dense(CLASSES)(x)
    data = rng.normal(size=(8, 5)).astype("float32")
    if seed % 2:
        y = 3 * rng.normal(size=(8, CLASSES)).astype("float32")
        return kl.LiftedModel(inputs, outputs), data, y, "mse"
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return kl.LiftedModel(inputs, outputs), data, rng.integers(0, CLASSES, 8), loss


def array(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def real(values):
    return ops.convert_to_tensor(values, "float32" if JAX else "float64")


def data_term(loss, y, outputs):
    return float(np.mean(array(keras.losses.get(loss)(y, outputs))))


def energy(model, lifted, x, y, loss, w):
    """`mean_i ℓ + w Σ_l F(x_l) + F*(z_l) − ⟨x_l, z_l⟩`, layer by layer."""
    total, carried = 0.0, x.astype("float64")
    for layer in model.layers[1:]:
        if isinstance(layer, kl.layers.ProximalActivation):
            z, carried = carried, lifted[layer.name]
            inner = np.sum(z * carried, -1) - 0.5 * np.sum(carried**2, -1)
            terms = array(layer.potential(real(carried)))
            terms = terms + array(layer.conjugate(real(z)))
            total += w * np.mean(terms - inner)
        else:
            kernel, bias = layer.get_weights()
            carried = carried @ kernel + bias
    return total + data_term(loss, y, carried)


def solve_all(model, updates, x, y, w):
    """Lifted variables after each update, from one forward pass each."""
    blocks, penalty = find_blocks(model), kl.penalties.Bregman(w)

    def function(x, y):
        weights = ops.convert_to_tensor([w] * len(blocks), "float32")
        with keras.StatelessScope():
            problem = LiftedProblem(model, blocks, Batch(x, y, None), penalty, weights)
            bounds = curvature(problem)
            solutions = [update.solve(problem, bounds) for update in updates]
        sigmas = {b.name: b.activation for b in blocks}
        return [
            {key: sigmas[key](s) for key, s in solution.last.coordinates.items()}
            for solution in solutions
        ]

    x, y = ops.convert_to_tensor(x), ops.convert_to_tensor(y)
    if JAX:
        import jax

        return jax.jit(function)(x, y)
    return function(x, y)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_more_steps_never_raise_the_energy(seed):
    model, x, y, loss = random_network(seed)
    model.compile("sgd", loss)
    # Both losses meet both updates.
    make = kl.updates.Mirror if seed % 4 < 2 else kl.updates.ProximalGradient
    updates = [make(steps) for steps in STEPS]
    start = data_term(loss, y, model(x))
    energies = []
    for lifted in solve_all(model, updates, x, y, w=1.0):
        lifted = {key: array(value) for key, value in lifted.items()}
        energies.append(energy(model, lifted, x, y, loss, 1.0))
    for before, after in itertools.pairwise([start, *energies]):
        assert after <= before + ROUNDING * start, (start, energies)
    assert energies[0] < start and energies[-1] < start


# -- batches ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "update",
    [
        kl.updates.Sweep(),
        kl.updates.ProximalGradient(5),
        kl.updates.Mirror(5),
        kl.updates.ProximalGradient(50, "nesterov", tolerance=1e-5),
    ],
    ids=["sweep", "proximal_gradient", "mirror", "nesterov"],
)
def test_lifted_variables_do_not_depend_on_the_batch(update):
    """Steps scale with the batch: 8 samples alone, or among 512."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((5,))
    x = layers.Dense(7, activation="relu", name="one")(inputs)
    x = layers.Dense(7, activation="tanh", name="two")(x)
    model = kl.LiftedModel(inputs, layers.Dense(2)(x))
    penalty = kl.penalties.Bregman(1.0)
    optimizer = kl.optimizers.BlockCoordinateDescent("sgd", penalty, update)
    model.compile(optimizer, "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 5)).astype("float32")
    y = rng.normal(size=(512, 2)).astype("float32")
    few, many = model.lifted_variables(x[:8], y[:8]), model.lifted_variables(x, y)
    for key in ("one", "two"):
        plain = array(model.get_layer(key)(x[:8] if key == "one" else many["one"][:8]))
        moved = np.abs(few[key] - plain).max()
        difference = np.abs(few[key] - many[key][:8]).max()
        assert difference < 0.02 * moved


# -- stopping --------------------------------------------------------------------------


@pytest.mark.parametrize("acceleration", [None, "nesterov"])
def test_tolerance_stops_early(acceleration):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,))
    x = layers.Dense(7, activation="tanh", name="one")(inputs)
    model = kl.LiftedModel(inputs, layers.Dense(2)(x))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 5)).astype("float32")
    y = rng.normal(size=(16, 2)).astype("float32")
    taken = {}
    for tolerance in (0.0, 1e-4, 1e-2):
        update = kl.updates.ProximalGradient(60, acceleration, tolerance)
        optimizer = kl.optimizers.BlockCoordinateDescent("sgd", SOFT, update)
        model.compile(optimizer, "mse", run_eagerly=not JAX)
        model.train_on_batch(ops.convert_to_tensor(x), ops.convert_to_tensor(y))
        taken[tolerance] = float(optimizer.lifted.iterations)
        if tolerance:
            assert float(optimizer.lifted.residual) < tolerance
    assert 1 < taken[1e-2] < taken[1e-4] < taken[0.0] == 60


def test_the_logged_energy_is_that_before_the_step():
    """A threshold that the step moves does not count with its new value."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
    found = []
    for rate in (1e-3, 1.0):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((4,))
        h = kl.layers.SoftThreshold(0.2, learnable=True)(layers.Dense(6)(inputs))
        model = kl.LiftedModel(inputs, layers.Dense(2)(h))
        update = kl.updates.ProximalGradient(3)
        optimizer = kl.optimizers.BlockCoordinateDescent(
            keras.optimizers.SGD(rate), SOFT, update
        )
        metrics = [kl.metrics.LiftedEnergy(), kl.metrics.LiftedGap()]
        model.compile(optimizer, "mse", metrics=metrics, jit_compile=JAX)
        logs = model.train_on_batch(x, y, return_dict=True)
        found.append([logs["lifted_energy"], logs["lifted_gap"]])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
