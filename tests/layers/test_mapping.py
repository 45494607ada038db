"""Names, Keras functions and Keras layers as proximal activations."""

import functools

import keras
import numpy as np
import pytest
from cases import points
from compiled import array, tensor

import keras_lifted as kl
from keras_lifted.layers import mapping

L = kl.layers
A = keras.activations
K = keras.layers

EQUAL = [
    (A.relu, L.ReLU),
    (A.relu6, L.HardTanh),
    (A.leaky_relu, L.LeakyReLU),
    (A.elu, L.ELU),
    (A.celu, L.ELU),
    (A.softmax, L.Softmax),
    (A.softplus, L.Softplus),
    (A.softsign, L.Softsign),
    (A.tanh, L.Tanh),
    (A.sigmoid, L.Sigmoid),
    (A.hard_tanh, L.HardTanh),
    (A.soft_shrink, L.SoftThreshold),
    (keras.ops.relu, L.ReLU),
    (keras.ops.tanh, L.Tanh),
    (functools.partial(A.relu, negative_slope=0.1), L.LeakyReLU),
    (functools.partial(A.relu, max_value=3.0), L.HardTanh),
    (functools.partial(A.elu, alpha=0.5), L.ELU),
    (functools.partial(A.softmax, axis=1), L.Softmax),
    (functools.partial(A.soft_shrink, threshold=0.2), L.SoftThreshold),
    (K.ReLU(), L.ReLU),
    (K.ReLU(max_value=2.0), L.HardTanh),
    (K.ReLU(negative_slope=0.2), L.LeakyReLU),
    (K.LeakyReLU(), L.LeakyReLU),
    (K.LeakyReLU(negative_slope=0.0), L.ReLU),
    (K.ELU(alpha=0.7), L.ELU),
    (K.Softmax(), L.Softmax),
    (K.Activation("tanh"), L.Tanh),
    (K.Activation(A.relu), L.ReLU),
]

NONE = [
    A.linear,
    A.gelu,
    A.hard_sigmoid,
    functools.partial(A.relu, threshold=1.0),
    functools.partial(A.relu, negative_slope=2.0),
    functools.partial(A.relu, negative_slope=0.1, max_value=1.0),
    functools.partial(A.elu, alpha=2.0),
    functools.partial(A.celu, alpha=2.0),
    functools.partial(A.soft_shrink, threshold=-1.0),
    functools.partial(A.softmax, axis=0),
    K.ReLU(threshold=1.0),
    K.ReLU(max_value=0.0),
    K.LeakyReLU(negative_slope=1.5),
    K.ELU(alpha=1.5),
    K.Softmax(axis=(1, 2)),
    K.Activation("linear"),
    K.Activation("gelu"),
    K.PReLU(),
    K.Dense(3),
    lambda x: x,
    None,
    3,
]


@pytest.mark.parametrize(("source", "cls"), EQUAL)
def test_equivalents(source, cls):
    found = L.from_keras(source)
    assert type(found) is cls
    z = tensor(points(6, scale=4.0))
    np.testing.assert_allclose(array(found(z)), array(source(z)), atol=2e-6)
    assert type(L.get(source)) is cls
    assert not mapping.is_not_proximal(source)


@pytest.mark.parametrize("source", NONE)
def test_no_equivalent(source):
    assert L.from_keras(source) is None


class Odd(K.ReLU):
    """A subclass may compute anything."""


def test_subclasses_of_keras_layers_are_unknown():
    assert L.from_keras(Odd()) is None
    assert not mapping.is_not_proximal(Odd())


@pytest.mark.parametrize("name", sorted(L.NOT_PROXIMAL))
def test_not_proximal(name):
    function = getattr(A, name)
    assert L.from_keras(function) is None
    assert mapping.is_not_proximal(function)
    assert mapping.is_not_proximal(K.Activation(function))
    with pytest.raises(ValueError, match=rf"{name}' is no proximal map.*Received"):
        L.get(name)


@pytest.mark.parametrize("name", dir(A))
def test_slopes_agree_with_the_lists(name):
    """Scalar Keras activations: proximal exactly if the slope is in [0, 1]."""
    function = getattr(A, name)
    other = {"deserialize", "get", "glu", "log_softmax", "serialize", "softmax"}
    if name.startswith("_") or name in other | {"sparsemax", "threshold"}:
        return
    z = np.linspace(-6, 6, 4001)
    slope = np.diff(array(function(tensor(z)))) / np.diff(z)
    proximal = bool(np.all((slope > -1e-2) & (slope < 1 + 1e-2)))
    assert mapping.is_not_proximal(function) == (not proximal)


STOP = keras.ops.stop_gradient


@pytest.mark.parametrize(
    "function",
    [lambda z: z + STOP(A.relu(z) - z), lambda z: STOP(A.tanh(z))],
    ids=["straight-through", "stopped"],
)
def test_slopes_count(function):
    """What has the values of a proximal map alone is differentiated as it is."""
    assert L.from_keras(function) is None


def test_functions_of_a_variable_are_not_recognised():
    slope = keras.Variable(1.0)
    assert L.from_keras(lambda z: keras.ops.tanh(slope * z)) is None
    assert type(L.from_keras(lambda z: keras.ops.tanh(z))) is L.Tanh


def test_far_values_count():
    """A clipped ReLU is none, however late it is clipped."""
    ops = keras.ops
    assert L.from_keras(lambda z: ops.clip(z, 0.0, 100.0)) is None
    assert L.from_keras(lambda z: ops.clip(z, 0.0, 3.0)).max_value == 3.0
    overflows = lambda z: ops.log(1.0 + ops.exp(z))  # noqa: E731
    assert type(L.from_keras(overflows)) is L.Softplus


def test_only_what_computes_the_same_is_mapped():
    """Keras's sparsemax is the projection onto the simplex up to two entries only."""
    z = tensor(np.random.default_rng(0).normal(size=(5, 1, 9)))
    for name in dir(A):
        activation = L.from_keras(getattr(A, name))
        if activation is not None:
            expected = array(getattr(A, name)(z))
            np.testing.assert_allclose(array(activation(z)), expected, atol=1e-5)


def test_rectifiers_outside_the_range_are_not_proximal():
    assert mapping.is_not_proximal(K.LeakyReLU(negative_slope=2.0))
    assert mapping.is_not_proximal(functools.partial(A.elu, alpha=2.0))
    assert not mapping.is_not_proximal(A.linear)
    assert not mapping.is_not_proximal(K.Dense(1))
    assert not mapping.is_not_proximal(None)


@pytest.mark.parametrize(("name", "cls"), mapping.CLASSES.items())
def test_names(name, cls):
    assert type(L.get(name)) is cls
    assert type(L.get(cls.__name__)) is cls
    assert type(L.get(cls)) is cls
    activation = cls()
    assert L.get(activation) is activation
    assert L.from_keras(activation) is activation
    config = keras.saving.serialize_keras_object(activation)
    assert type(L.get(config)) is cls


def test_keras_names():
    assert L.get("relu6").max_value == 6.0
    assert L.get("soft_shrink").threshold == 0.5
    assert type(L.get("linear")) is L.Identity
    assert type(L.get(A.linear)) is L.Identity


@pytest.mark.parametrize("bad", ["no_such", 3, None, lambda x: x, A.hard_sigmoid, []])
def test_unknown(bad):
    with pytest.raises(ValueError, match="one of: arctan, .*tanh.*Received"):
        L.get(bad)
