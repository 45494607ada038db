"""What users of `invert` get wrong, and what the error says about it."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl

TV = kl.regularizers.TotalVariation(0.1)
COUNTS = kl.inversion.KullbackLeibler()
Y = np.array([[0.5, 0.0, 1.0], [0.2, 0.1, 0.0]], "float32")


def dense(activation="relu", kernel="glorot_uniform", inputs=4):
    layer = layers.Dense(3, activation, kernel_initializer=kernel, name="dense")
    layer.build((None, inputs))
    return layer


def invert(network=None, y=Y, regularizer=TV, **arguments):
    network = dense() if network is None else network
    kl.invert(network, y, regularizer, **arguments)


def two_inputs():
    a, b = keras.Input((4,)), keras.Input((4,))
    return keras.Model([a, b], layers.Dense(3)(a + b))


def two_outputs():
    a = keras.Input((4,))
    return keras.Model(a, [layers.Dense(3)(a), layers.Dense(3)(a)])


def reshaped():
    inputs = keras.Input((4,))
    rows = layers.Reshape((3, 2))(layers.Dense(6)(inputs))
    return keras.Model(inputs, layers.Flatten()(layers.Softmax()(rows)))


def embedded():
    a = keras.Input((4,), dtype="int32")
    return keras.Model(a, layers.Dense(3)(layers.Flatten()(layers.Embedding(9, 2)(a))))


class Noise(layers.Layer):
    def __init__(self):
        super().__init__()
        self.seed = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(x.shape, seed=self.seed)


class Summed(kl.regularizers.Regularizer):
    def value(self, v):
        return keras.ops.sum(v)

    def prox(self, v, step):
        return v


def dead():
    layer = dense()
    layer.bias.assign(-np.full(3, 1e9, "float32"))
    return layer


def changed(value):
    y = Y.copy()
    y[0, 0] = value
    return y


CASES = {
    "nan": ({"y": changed(np.nan)}, "finite.*1 NaN or infinite"),
    "inf": ({"y": changed(np.inf)}, "finite.*1 NaN or infinite"),
    "text": ({"y": np.array([["a"]])}, "array of numbers"),
    "no batch": ({"y": Y[0]}, r"y\[None\]"),
    "empty": ({"y": Y[:0]}, "batch of outputs"),
    "wrong shape": ({"y": Y[:, :2]}, r"shape of the network's outputs, \(batch, 3\)"),
    "negative": ({"y": changed(-0.5)}, "1 of 6 values.*ReLU.*out_of_range='project'"),
    "above": (
        {"network": dense("sigmoid"), "y": changed(1.5)},
        "Sigmoid.*up to 0.5 away",
    ),
    "simplex": ({"network": dense("softmax")}, "Softmax, never takes"),
    "coupled": (
        {"network": reshaped(), "y": np.full((2, 6), 0.5)},
        r"couples units.*\(3, 2\) at the activation, \(6,\) at the output",
    ),
    "no information": ({"network": dense(kernel="zeros")}, "no information.*weights"),
    "dead units": ({"network": dead()}, "no information"),
    "alpha": ({"alpha": 0.0}, "`alpha` must be positive.*alpha=0.0"),
    "alpha sign": ({"alpha": [1.0, -1.0]}, "`alpha` must be positive"),
    "alphas": ({"alpha": [1.0] * 3}, "one number or 2"),
    "noise": ({"noise_std": 0.0}, "`noise_std` must be positive.*small `alpha`"),
    "both": ({"noise_std": 0.1, "alpha": 1.0}, "not both"),
    "no noise": ({"alpha_rule": "discrepancy"}, "from `noise_std`"),
    "rule": ({"noise_std": 0.1, "alpha_rule": "gcv"}, "`alpha_rule` must be one of"),
    "source": ({"noise_std": 0.1, "source": -1.0}, "`source` must be positive"),
    "max_steps": ({"max_steps": 0}, "`max_steps` must be an integer"),
    "half a step": ({"max_steps": 1.5}, "`max_steps` must be an integer"),
    "step factor": ({"step_factor": 0.0}, "`step_factor` must be positive.*power it"),
    "check": ({"check_every": 0}, "`check_every`"),
    "tolerance": ({"tolerance": -1.0}, "`tolerance` must be a finite number"),
    "range": ({"out_of_range": "clip"}, "`out_of_range` must be one of"),
    "acceleration": ({"acceleration": "adam"}, "`acceleration` must be one of"),
    "verbose": ({"verbose": 3}, "`verbose` must be one of"),
    "regularizer": ({"regularizer": "tv"}, "keras_lifted.regularizers"),
    "raw regularizer": ({"regularizer": Y}, r"Received: ndarray of shape \(2, 3\)"),
    "number for a regularizer": ({"regularizer": 0.1}, "Received: 0.1"),
    "no data": ({"y": None}, "`y` must be an array of numbers. Received: y=None"),
    "swapped": ({"network": Y, "y": dense()}, "come before `y`. Received: .*ndarray"),
    "penalty": ({"penalty": "none"}, "`penalty` must be"),
    "names": (
        {"penalty": kl.penalties.Bregman({"hidden": 1.0})},
        r"unknown names: \['hidden'\]",
    ),
    "no layer": ({"network": np.tanh}, "must be a Keras layer or model"),
    "not built": ({"network": layers.Dense(3)}, "`input_shape=.*or build"),
    "input shape": ({"input_shape": (5,)}, "does not take inputs of shape"),
    "start": (
        {"initial": np.zeros((2, 5))},
        r"`initial` must be.*\(2, 4\)",
    ),
    "start nan": ({"initial": np.full((2, 4), np.nan)}, "8 values not finite"),
    "inputs": ({"network": two_inputs()}, "one input"),
    "outputs": ({"network": two_outputs()}, "one output"),
    "alpha flag": ({"alpha": True}, "`alpha` must be positive.*alpha=True"),
    "alpha array": ({"alpha": -np.ones(9)}, r"alpha=ndarray of shape \(9,\)"),
    "ragged": ({"y": [[1.0, 2.0], [3.0]]}, "`y` must be an array of numbers"),
    "complex": ({"y": 1j * Y}, "`y` must be an array of numbers.*complex64"),
    "named start": ({"initial": "zeros"}, "`initial` must be an array.*'zeros'"),
    "named noise": ({"noise_std": "auto"}, "`noise_std` must be an array.*'auto'"),
    "one mask each": (
        {
            "network": kl.imaging.Mask(np.ones((3, 4, 4, 1))),
            "y": np.ones((2, 4, 4, 1)),
            "input_shape": (4, 4, 1),
        },
        "each of 3 samples.*must hold as many",
    ),
    "negative counts": (
        {"network": dense("linear"), "y": -Y, "fidelity": COUNTS},
        "4 of 6 values below 0, which are no counts.*'project'",
    ),
    "map for counts": (
        {
            "network": dense("linear"),
            "noise_std": Y + 1,
            "alpha": 1,
            "fidelity": COUNTS,
        },
        "A map of `noise_std` weights the outputs",
    ),
    "integers": ({"network": embedded()}, "differentiable in its inputs, real numbers"),
    "small denoiser": (
        {"regularizer": kl.regularizers.Denoiser(dense())},
        r"`prox` of Denoiser must return the shape.*\(1, 3\).*\(1, 4\)",
    ),
    "other denoiser": (
        {"regularizer": kl.regularizers.Denoiser(dense(inputs=5))},
        "Denoiser must take samples of shape",
    ),
    "random denoiser": (
        {"regularizer": kl.regularizers.Denoiser(Noise())},
        "`prox` of Denoiser is random",
    ),
    "summed value": ({"regularizer": Summed()}, "`value` one number for each sample"),
    "image shape": (
        {"regularizer": kl.regularizers.TotalVariation(shape=(3, 3))},
        r"as many entries as a sample.*\(3, 3\).*\(4,\)",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), CASES.values(), ids=CASES)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        invert(**arguments)
    assert len(str(caught.value)) <= 600 and "array([" not in str(caught.value)


REGULARIZERS = {
    "no batch": (lambda: kl.regularizers.L1()(Y[0]), r"batch of samples.*u\[None\]"),
    "weight": (lambda: kl.regularizers.L1(-1.0), "`weight` of L1.*> 0"),
    "zero": (lambda: kl.regularizers.Tikhonov(0), "`weight` of Tikhonov"),
    "infinite": (lambda: kl.regularizers.TotalVariation(np.inf), "finite"),
    "factor": (lambda: 0.0 * kl.regularizers.L1(), "`weight` of L1"),
    "isotropic": (lambda: kl.regularizers.TotalVariation(1.0, 1), "must be a bool"),
    "shape": (lambda: kl.regularizers.TotalVariation(shape=(0, 3)), "`shape` of"),
    "box": (lambda: kl.regularizers.Box(1.0, 0.0), "exchange the two"),
    "axis": (lambda: kl.regularizers.GroupSparsity(axis=0), "`axis` of"),
    "sum": (lambda: kl.regularizers.Sum([]), "one or more"),
    "prox": (
        lambda: (kl.regularizers.L1() + kl.regularizers.L1()).prox(Y, 1.0),
        "no proximal map",
    ),
}


@pytest.mark.parametrize(("make", "message"), REGULARIZERS.values(), ids=REGULARIZERS)
def test_regularizers_check_their_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_adding_something_else():
    with pytest.raises(TypeError):
        kl.regularizers.L1() + 1.0
