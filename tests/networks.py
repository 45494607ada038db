"""Small plain Keras networks of every shape, with data they can learn."""

import keras
import numpy as np
from keras import layers

import keras_lifted as kl

SAMPLES = 32
JAX = keras.backend.backend() == "jax"
# Eager JAX is slow; on TensorFlow XLA is tested where it matters.
COMPILED = "auto" if JAX else False
QUICK = {} if JAX else {"run_eagerly": True}  # for a single step


def data(*shape, seed=0):
    """Random float32 samples."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(SAMPLES, *shape)).astype("float32")


def target(seed=1):
    return data(1, seed=seed)


def mlp():
    inputs = keras.Input((4,))
    x = layers.Dense(8, activation="relu")(inputs)
    x = layers.Dense(8, activation="tanh")(x)
    return keras.Model(inputs, layers.Dense(1)(x)), data(4), target(), "mse"


def styles():
    """Fused, separate Keras layers, a ProximalActivation, fused and not."""
    inputs = keras.Input((4,))
    x = layers.Dense(8, activation=kl.layers.SoftThreshold(0.05))(inputs)
    x = layers.ReLU()(layers.Dense(8)(x))
    x = layers.Activation("sigmoid")(layers.Dense(8)(x))
    x = kl.layers.SoftThreshold(0.05, learnable=True)(layers.Dense(8)(x))
    x = layers.LeakyReLU(negative_slope=0.1)(layers.Dense(8)(x))
    return keras.Model(inputs, layers.Dense(1)(x)), data(4), target(), "mse"


def conv():
    inputs = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, activation="relu")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(4, 3)(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.2, seed=3)(layers.GlobalAveragePooling2D()(x))
    outputs = layers.Dense(3, activation="softmax")(x)
    y = np.arange(SAMPLES) % 3
    x = data(6, 6, 1) + y.reshape(-1, 1, 1, 1).astype("float32")
    return keras.Model(inputs, outputs), x, y, "sparse_categorical_crossentropy"


def residual():
    """Skips inside and outside the activation."""
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    inside = layers.Conv2D(4, 3, padding="same")(x)
    x = layers.ReLU()(layers.Add()([x, inside]))
    outside = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Add()([x, outside])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(1)(x)), data(6, 6, 2), target(), "mse"


def two_in_two_out():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    left = layers.Dense(6, activation="relu")(a)
    right = layers.Dense(6, activation="tanh")(b)
    both = layers.Dense(6, activation="relu")(layers.Concatenate()([left, right]))
    value = layers.Dense(1, name="value")(both)
    label = layers.Dense(2, activation="softmax", name="label")(both)
    outputs = {"value": value, "label": label}
    model = keras.Model({"a": a, "b": b}, outputs, name="named")
    x = {"a": data(4), "b": data(3, seed=2)}
    y = {"value": target(), "label": np.arange(SAMPLES) % 2}
    loss = {"value": "mse", "label": "sparse_categorical_crossentropy"}
    return model, x, y, loss


def shared():
    inputs = keras.Input((4,))
    dense = layers.Dense(4, activation="tanh")
    act = layers.ReLU()
    x = dense(dense(inputs))
    x = act(layers.Dense(4)(act(layers.Dense(4)(x))))
    return keras.Model(inputs, layers.Dense(1)(x)), data(4), target(), "mse"


def nested():
    inner_inputs = keras.Input((5,))
    inner = keras.Model(
        inner_inputs, layers.Dense(5, activation="relu")(inner_inputs), name="inner"
    )
    inputs = keras.Input((4,))
    x = layers.Dense(5, activation="relu")(inputs)
    x = keras.Sequential([layers.Dense(5), layers.ReLU()], name="pair")(inner(x))
    return keras.Model(inputs, layers.Dense(1)(x)), data(4), target(), "mse"


def sequential():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(8, activation="relu"),
            layers.Dense(8, activation="elu"),
            layers.Dense(1),
        ]
    )
    return model, data(4), target(), "mse"


NETWORKS = {
    builder.__name__: builder
    for builder in (
        mlp,
        styles,
        conv,
        residual,
        two_in_two_out,
        shared,
        nested,
        sequential,
    )
}


def predict(model, x):
    """A plain eager call, as a list of numpy arrays."""
    x = keras.tree.map_structure(keras.ops.convert_to_tensor, x)
    outputs = keras.tree.flatten(model(x))
    return [keras.ops.convert_to_numpy(each) for each in outputs]


def assert_same(got, expected, **tolerance):
    """Equal lists of arrays; exactly, where no tolerance is given."""
    for a, b in zip(got, expected, strict=True):
        if tolerance:
            np.testing.assert_allclose(a, b, **tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def values(variables):
    """The variables as numpy arrays."""
    return [keras.ops.convert_to_numpy(v) for v in variables]
