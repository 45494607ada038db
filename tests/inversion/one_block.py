"""Networks of one block, and convex solvers that know nothing of the package."""

import contextlib

import keras
import numpy as np
from scipy import optimize

import keras_lifted as kl

HAS_DOUBLE = keras.backend.backend() == "tensorflow"


@contextlib.contextmanager
def double():
    """float64 throughout, where Keras offers it."""
    policy = keras.config.dtype_policy().name
    if HAS_DOUBLE:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy(policy)


def perceptron(inputs, outputs, activation, seed=0, scale=1.0, shape=None):
    """A model of one dense block, its kernel `(inputs, outputs)` and bias."""
    rng = np.random.default_rng(seed)
    kernel = scale * rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
    bias = 0.1 * rng.normal(size=outputs)
    dense = keras.layers.Dense(outputs, activation=activation)
    layers = [keras.Input(shape or (inputs,)), keras.layers.Flatten(), dense]
    model = keras.Sequential(layers)
    dense.set_weights([kernel, bias])
    return model, kernel.astype(keras.config.floatx()).astype("float64"), bias


def fidelity(name, y, z):
    """The Bregman penalty and its gradient in z, written out in NumPy."""
    if name == "relu":
        x = np.maximum(z, 0)
        return np.sum(0.5 * y**2 + 0.5 * x**2 - y * z), x - y
    if name == "linear":
        return np.sum(0.5 * (y - z) ** 2), z - y
    if name == "tanh":
        entropy = 0.5 * ((1 + y) * np.log1p(y) + (1 - y) * np.log1p(-y))
        return np.sum(entropy + np.log(np.cosh(z)) - y * z), np.tanh(z) - y
    if name == "soft_threshold":
        x = np.sign(z) * np.maximum(np.abs(z) - 0.1, 0)
        potential = 0.1 * np.abs(y) + 0.5 * y**2
        return np.sum(potential + 0.5 * x**2 - y * z), x - y
    raise ValueError(name)


def activation_of(name):
    return kl.layers.SoftThreshold(0.1) if name == "soft_threshold" else name


def bounded(function, start, bounds):
    """The minimum of a smooth function in a box, by SciPy."""
    options = {"maxiter": 100_000, "maxfun": 200_000, "ftol": 1e-15, "gtol": 1e-11}
    found = optimize.minimize(
        function, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    return found.fun, found.x


def best_l1(name, kernel, bias, y, alpha):
    """`min fidelity + α‖u‖₁`, with `u = p − n`, `p, n ≥ 0`."""
    n = len(kernel)

    def function(parts):
        value, slope = fidelity(name, y, (parts[:n] - parts[n:]) @ kernel + bias)
        pull = kernel @ slope
        gradient = np.concatenate([pull + alpha, alpha - pull])
        return value + alpha * parts.sum(), gradient

    value, parts = bounded(function, np.zeros(2 * n), [(0, None)] * (2 * n))
    return value, parts[:n] - parts[n:]


def best_variation(name, kernel, bias, y, alpha):
    """`min fidelity + α Σ|u_{i+1} − u_i|`, with u a sum of its jumps."""
    n = len(kernel)
    summed = np.tril(np.ones((n, n)))[:, 1:]  # jumps -> u, less its first entry

    def function(parts):
        u = parts[0] + summed @ (parts[1:n] - parts[n:])
        value, slope = fidelity(name, y, u @ kernel + bias)
        pull = kernel @ slope
        jumps = summed.T @ pull
        gradient = np.concatenate([[pull.sum()], jumps + alpha, alpha - jumps])
        return value + alpha * parts[1:].sum(), gradient

    bounds = [(None, None)] + [(0, None)] * (2 * n - 2)
    value, parts = bounded(function, np.zeros(2 * n - 1), bounds)
    return value, parts[0] + summed @ (parts[1:n] - parts[n:])


def best_smooth(name, kernel, bias, y, alpha, bounds=None):
    """`min fidelity + ½α‖u‖²`, in a box or not."""

    def function(u):
        value, slope = fidelity(name, y, u @ kernel + bias)
        return value + 0.5 * alpha * u @ u, kernel @ slope + alpha * u

    return bounded(function, np.zeros(len(kernel)), bounds and [bounds] * len(kernel))
