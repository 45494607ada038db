"""The networks of the benchmarks; the last layer is called "output"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

import keras_lifted as kl

layers = keras.layers
Activation = Callable[[], Any]
# Of the running means of batch normalization: they follow within runs of 300 steps.
MOMENTUM = 0.9


def dense(
    shape: tuple[int, ...],
    hidden: Sequence[tuple[int, Activation | None]],
    outputs: int,
    cls: type,
) -> keras.Model:
    """Build dense layers of these widths and activations, and a linear one."""
    inputs = keras.Input(shape)
    h = layers.Flatten()(inputs)
    for width, activation in hidden:
        h = layers.Dense(width)(h)
        h = activation()(h) if activation else h
    return cls(inputs, layers.Dense(outputs, name="output")(h))


def conv(cls: type) -> keras.Model:
    """Build two strided convolutions of 16 and 32 filters, and two dense layers."""
    inputs = h = keras.Input((28, 28, 1))
    for filters in (16, 32):
        h = layers.Conv2D(filters, 3, strides=2, padding="same")(h)
        h = kl.layers.ReLU()(h)
    h = kl.layers.ReLU()(layers.Dense(64)(layers.Flatten()(h)))
    return cls(inputs, layers.Dense(10, name="output")(h))


def resnet(shape: tuple[int, ...], blocks: int, cls: type) -> keras.Model:
    """Build the residual network for small images of He et al. (1512.03385).

    Args:
        shape: tuple. Height, width, channels of an image.
        blocks: int. Blocks of each of three stages; 6 · blocks + 2 layers.
        cls: type. Of the model.
    """
    inputs = keras.Input(shape)

    def normalized(h: Any, filters: int, size: int, strides: int) -> Any:
        h = layers.Conv2D(filters, size, strides, "same", use_bias=False)(h)
        return layers.BatchNormalization(momentum=MOMENTUM)(h)

    h = layers.ReLU()(normalized(inputs, 16, 3, 1))
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            strides = 2 if stage and not block else 1
            after = layers.ReLU()(normalized(h, filters, 3, strides))
            after = normalized(after, filters, 3, 1)
            skip = h if strides == 1 else normalized(h, filters, 1, strides)
            h = layers.ReLU()(layers.Add()([skip, after]))
    h = layers.GlobalAveragePooling2D()(h)
    return cls(inputs, layers.Dense(10, name="output")(h))


def transformer(
    length: int, words: int, depth: int, width: int, heads: int, cls: type
) -> keras.Model:
    """Build an encoder of token sequences with normalization before each branch."""
    inputs = keras.Input((length,), dtype="int32")
    h = layers.Embedding(words, width)(inputs)
    return cls(inputs, _encoded(h, depth, width, heads))


def vision_transformer(depth: int, width: int, heads: int, cls: type) -> keras.Model:
    """Build an encoder of the 49 patches of 4 x 4 pixels of an image."""
    inputs = keras.Input((28, 28, 1))
    h = layers.Permute((1, 3, 2, 4))(layers.Reshape((7, 4, 7, 4))(inputs))
    h = layers.Reshape((49, 16))(h)
    h = layers.EinsumDense("bpi,ij->bpj", (49, width), bias_axes="pj")(h)
    return cls(inputs, _encoded(h, depth, width, heads))


def _encoded(h: Any, depth: int, width: int, heads: int) -> Any:
    for _ in range(depth):
        before = layers.LayerNormalization()(h)
        attention = layers.MultiHeadAttention(heads, width // heads)
        h = layers.Add()([h, attention(before, before)])
        before = layers.LayerNormalization()(h)
        after = layers.Dense(4 * width, activation="gelu")(before)
        h = layers.Add()([h, layers.Dense(width)(after)])
    h = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(h))
    return layers.Dense(10, name="output")(h)


def mobilenet(cls: type) -> keras.Model:
    """Build six inverted residual blocks as in MobileNetV2 (1801.04381)."""
    inputs = keras.Input((28, 28, 1))

    def normalized(layer: keras.layers.Layer, h: Any) -> Any:
        return layers.BatchNormalization(momentum=MOMENTUM)(layer(h))

    same = {"padding": "same", "use_bias": False}
    h = layers.ReLU(6)(normalized(layers.Conv2D(16, 3, 2, **same), inputs))
    for filters, strides in ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (32, 1)):
        wide = layers.Conv2D(4 * h.shape[-1], 1, **same)
        after = layers.ReLU(6)(normalized(wide, h))
        after = normalized(layers.DepthwiseConv2D(3, strides, **same), after)
        after = normalized(layers.Conv2D(filters, 1, **same), layers.ReLU(6)(after))
        h = layers.Add()([h, after]) if h.shape == after.shape else after
    h = layers.GlobalAveragePooling2D()(h)
    return cls(inputs, layers.Dense(10, name="output")(h))


def application(name: str, shape: tuple[int, ...], cls: type) -> keras.Model:
    """Build a network of `keras.applications` with ten classes, not trained."""
    make = getattr(keras.applications, name)
    network = make(weights=None, input_shape=shape, include_top=False, pooling="avg")
    return cls(network.input, layers.Dense(10, name="output")(network.output))


def residual_stack(width: int, depth: int, cls: type) -> keras.Model:
    """Build equal residual blocks whose weights lie in one array, and an output."""
    inputs = keras.Input((width,))
    scale = keras.initializers.VarianceScaling(1 / depth, "fan_avg", "uniform")
    stack = kl.layers.ProximalStack(
        width, depth, "relu", True, kernel_initializer=scale
    )
    return cls(inputs, layers.Dense(10, name="output")(stack(inputs)))


def residual_layers(width: int, depth: int, cls: type) -> keras.Model:
    """Build the network of `residual_stack` from Dense layers."""
    inputs = h = keras.Input((width,))
    scale = keras.initializers.VarianceScaling(1 / depth, "fan_avg", "uniform")
    for _ in range(depth):
        after = layers.Dense(width, "relu", kernel_initializer=scale)(h)
        h = layers.Add()([h, after])
    return cls(inputs, layers.Dense(10, name="output")(h))
