"""Parents and final activations, read off the graph of real models."""

import keras
import numpy as np
from keras import layers, ops

import keras_lifted as kl
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import find_blocks
from keras_lifted.lifting.problem import LiftedProblem


def structure(inputs, outputs, weight=1.0):
    model = keras.Model(inputs, outputs)
    blocks = find_blocks(model)

    def sample(tensor):
        return ops.convert_to_tensor(np.zeros((2, *tensor.shape[1:]), "float32"))

    batch = Batch(keras.tree.map_structure(sample, model.input), None, None)
    weights = ops.ones((max(1, len(blocks)),))
    penalty = kl.penalties.Bregman(weight)
    return LiftedProblem(model, blocks, batch, penalty, weights).structure


def relu(name):
    return kl.layers.ReLU(name=name)


def test_chain():
    inputs = keras.Input((3,))
    x = layers.Dense(4, activation="relu", name="a")(inputs)
    x = layers.Dense(5, activation="tanh", name="b")(x)
    s = structure(inputs, layers.Dense(1)(x))
    assert s.keys == ["a", "b"]
    assert s.parents == {"a": frozenset(), "b": {"a"}}
    assert s.final == frozenset()
    assert s.shapes == {"a": (2, 4), "b": (2, 5)}


def test_skips():
    """Inside the activation, and outside of it."""
    inputs = keras.Input((4,))
    a = relu("a")(layers.Dense(4)(inputs))
    b = relu("b")(layers.Add()([a, layers.Dense(4)(a)]))
    u = layers.Add()([b, layers.Dense(4, activation="tanh", name="c")(b)])
    d = relu("d")(layers.Dense(4)(u))
    s = structure(inputs, layers.Dense(1)(d))
    assert s.parents == {"a": frozenset(), "b": {"a"}, "c": {"b"}, "d": {"b", "c"}}


def test_two_inputs_and_outputs():
    """An activation that feeds another block is lifted, even if it is shown."""
    one, two = keras.Input((3,)), keras.Input((2,))
    a = layers.Dense(4, activation="relu", name="a")(one)
    b = layers.Dense(4, activation="tanh", name="b")(two)
    c = layers.Dense(4, activation="relu", name="c")(layers.Concatenate()([a, b]))
    d = layers.Dense(2, activation="softmax", name="d")(c)
    s = structure([one, two], [c, d, layers.Dense(1)(b)])
    assert s.parents["c"] == {"a", "b"}
    assert s.parents["d"] == {"c"}
    assert s.final == {"d"}
    assert sorted(s.keys) == ["a", "b", "c"]


def test_final_activations_are_not_lifted():
    for activation in ("softmax", "sigmoid", kl.layers.SoftThreshold(0.1)):
        inputs = keras.Input((3,))
        x = layers.Dense(4, activation="relu", name="a")(inputs)
        s = structure(inputs, layers.Dense(6, activation=activation)(x))
        assert s.keys == ["a"]
        assert len(s.final) == 1


def test_final_activation_behind_a_rearrangement():
    inputs = keras.Input((3,))
    x = layers.Dense(4, activation="relu", name="a")(inputs)
    x = layers.Dense(6, activation="sigmoid", name="b")(x)
    x = layers.Permute((2, 1))(layers.Reshape((2, 3))(x))
    assert structure(inputs, x).final == {"b"}


def test_an_activation_behind_which_something_is_computed_is_lifted():
    for after in (
        layers.Rescaling(2.0),
        layers.Dense(2),
        layers.GlobalAveragePooling1D(),
    ):
        inputs = keras.Input((3, 2))
        x = layers.Dense(6, activation="sigmoid", name="b")(inputs)
        s = structure(inputs, after(x))
        assert s.final == frozenset()
        assert s.keys == ["b"]


def test_shared_layers_have_a_key_for_each_call():
    inputs = keras.Input((4,))
    dense = layers.Dense(4, activation="relu", name="a")
    s = structure(inputs, layers.Dense(1)(dense(dense(dense(inputs)))))
    assert s.keys == ["a", "a:1", "a:2"]
    assert s.parents == {"a": frozenset(), "a:1": {"a"}, "a:2": {"a:1"}}


def test_infinite_weights_are_not_lifted():
    inputs = keras.Input((4,))
    x = layers.Dense(4, activation="relu", name="a")(inputs)
    x = layers.Dense(4, activation="relu", name="b")(x)
    x = layers.Dense(4, activation="relu", name="c")(x)
    weight = {"b": float("inf"), "default": 1.0}
    s = structure(inputs, layers.Dense(1)(x), weight)
    assert s.keys == ["a", "c"]
    assert s.parents == {"a": frozenset(), "c": {"a"}}


def test_identity_is_a_block_of_its_own():
    inputs = keras.Input((4,))
    x = kl.layers.Identity(name="a")(layers.Dense(4)(inputs))
    s = structure(inputs, layers.Dense(1)(kl.layers.ReLU(name="b")(x)))
    assert s.parents == {"a": frozenset(), "b": {"a"}}


def test_nested_models_and_recurrent_layers():
    """A recurrent layer stays an ordinary part of its block."""
    inner_inputs = keras.Input((4,))
    inner_outputs = layers.Dense(4, activation="relu", name="b")(inner_inputs)
    inner = keras.Model(inner_inputs, inner_outputs)
    inputs = keras.Input((5, 2))
    x = layers.GRU(4)(layers.Dense(3, activation="tanh", name="a")(inputs))
    s = structure(inputs, layers.Dense(1)(inner(x)))
    assert s.parents == {"a": frozenset(), "b": {"a"}}
