"""Random models of Keras's layers take the steps that they take as `keras.Model`."""

import keras
import numpy as np
import pytest
from keras import layers as L
from networks import COMPILED

import keras_lifted as kl

ACTIVATIONS = [
    *["relu", "relu6", "leaky_relu", "elu", "tanh", "sigmoid", "softplus", "softsign"],
    *["softmax", "hard_tanh", "soft_shrink", "gelu", "silu", "selu", "linear"],
]
SAMPLES = 24


class Dice(np.random.Generator):
    """Draws parts of a model."""

    def of(self, options):
        return options[self.integers(len(options))]

    def activation(self):
        return self.of(ACTIVATIONS)


def dense(dice, x):
    l2 = dice.of([None, None, "l2"])
    return L.Dense(5, dice.activation(), kernel_regularizer=l2)(x)


def activation(dice, x):
    name = dice.activation()
    options = [
        L.ReLU(6.0),
        L.LeakyReLU(0.2),
        L.PReLU(),
        L.ELU(0.7),
        L.Activation(name),
        L.Activation(lambda z: keras.ops.relu(z)),
        kl.layers.SoftThreshold(0.1, learnable=True),
    ]
    return dice.of(options)(x)


def normalization(dice, x):
    options = [L.BatchNormalization, L.LayerNormalization, L.UnitNormalization]
    return dice.of(options)()(x)


def operations(dice, x):
    return dice.of([keras.ops.relu(x) * 0.5, keras.ops.tanh(x) + x, x[..., :3]])


def shared(dice, x):
    layer = L.Dense(x.shape[-1], dice.activation())
    return layer(layer(x))


def submodel(dice, x):
    inputs = keras.Input(x.shape[1:])
    hidden = L.Dense(5, dice.activation())(inputs)
    model = keras.Model(inputs, L.Dense(5, dice.activation())(hidden))
    return L.Add()([model(x), model(0.5 * x)])


def recurrent(dice, x):
    layer = dice.of([L.LSTM, L.GRU, L.SimpleRNN])(4, return_sequences=True)
    return dice.of([layer, L.Bidirectional(layer)])(x)


def attention(dice, x):
    if dice.random() < 0.5:
        return L.MultiHeadAttention(2, 3)(x, x)
    return L.Attention()([L.Dense(4)(x), L.Dense(4, dice.activation())(x)])


def each_step(dice, x):
    return L.TimeDistributed(L.Dense(4, dice.activation()))(x)


def convolution(dice, x):
    two = [L.Conv2D, L.SeparableConv2D, L.Conv2DTranspose]
    kind = dice.of(two if len(x.shape) == 4 else [L.Conv1D, L.SeparableConv1D])
    return kind(4, 3, padding="same", activation=dice.activation())(x)


def by_channel(dice, x):
    return L.DepthwiseConv2D(3, padding="same", activation=dice.activation())(x)


EVERY = [dense, activation, normalization, operations]
PARTS = {
    (6,): [*EVERY, dense, shared, submodel],
    (5, 4): [*EVERY, recurrent, attention, each_step, convolution, submodel],
    (6, 6, 2): [*EVERY, convolution, convolution, by_channel],
}


def random_model(seed):
    keras.utils.set_random_seed(seed)
    dice = Dice(np.random.PCG64(seed))
    shape = dice.of(list(PARTS))
    inputs = x = keras.Input(shape)
    for _ in range(dice.integers(2, 6)):
        before, x = x, dice.of(PARTS[shape])(dice, x)
        if tuple(before.shape) == tuple(x.shape) and dice.random() < 0.5:
            x = dice.of([L.Add, L.Multiply, L.Maximum])()([before, x])
    model = keras.Model(inputs, L.Dense(3, "softmax")(L.Flatten()(x)))
    weighted = [layer for layer in model.layers if layer.weights]
    dice.of(weighted).trainable = dice.random() < 0.7
    x = dice.normal(size=(SAMPLES, *shape)).astype("float32")
    weights = dice.of([None, dice.integers(0, 3, SAMPLES).astype("float32")])
    return model, x, dice.integers(0, 3, SAMPLES), weights


@pytest.mark.filterwarnings("ignore:.*activations of:UserWarning")
@pytest.mark.parametrize("seed", range(32))
def test_steps_are_those_of_keras(seed):
    original, x, y, sample_weight = random_model(seed)
    start = original.get_weights()
    ends, losses = [], []
    for model in (original, kl.LiftedModel(original.input, original.output)):
        model.set_weights(start)
        optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
        model.compile(
            optimizer, "sparse_categorical_crossentropy", jit_compile=COMPILED
        )
        keywords = {"sample_weight": sample_weight, "shuffle": False, "verbose": 0}
        losses += model.fit(x, y, batch_size=10, **keywords).history["loss"]
        ends.append(np.concatenate([np.ravel(w) for w in model.get_weights()]))
    np.testing.assert_allclose(*losses, rtol=1e-4)
    moved = np.linalg.norm(ends[0] - np.concatenate([np.ravel(w) for w in start]))
    assert np.linalg.norm(ends[1] - ends[0]) < 2e-3 * moved
