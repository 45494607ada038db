"""What users get wrong about data and models, and what the error says."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers
from mistakes import BCD, JAX, NAN, QUICK, Net, X, Y, compiled, expect_error, model

import keras_lifted as kl

L = kl.layers


def fit(x=X, y=Y, **arguments):
    compiled().fit(x, y, verbose=0, **arguments)


def looped(loop):
    inputs = keras.Input((5, 4))
    outputs = layers.Dense(1)(loop(L.Tanh())(inputs))
    return kl.LiftedModel(inputs, outputs)


def time_distributed(activation):
    return layers.TimeDistributed(layers.Dense(3, activation=activation))


def rnn(activation):
    return layers.SimpleRNN(3, activation=activation)


def keeping(samples):
    return compiled(BCD("sgd", lifted_update="mirror", persistent=samples))


IMAGES = np.zeros((4, 30, 30, 1), "float32")


class Stray(layers.Layer):
    """Calls an activation that Keras cannot find."""

    def call(self, x):
        return STRAY[0](x)


STRAY = []


def stray():
    STRAY[:] = [L.Tanh(name="stray")]
    inputs = keras.Input((4,))
    x = layers.Dense(3, activation="relu")(Stray()(inputs))
    lifted = kl.LiftedModel(inputs, layers.Dense(1)(x))
    lifted.compile("sgd", "mse", **QUICK)
    return lifted


# name: (what the user does, error, what the message says of expected and received)
MISUSES = {
    # data
    "x shape": (
        lambda: fit(np.ones((8, 5), "float32")),
        ValueError,
        r"expected shape=\(None, 4\), found shape=\((None|8), 5\)",
    ),
    "x shape, lifted_variables": (
        lambda: compiled().lifted_variables(np.ones((8, 5)), Y),
        ValueError,
        r"expected shape=\(None, 4\), found shape=\(8, 5\)",
    ),
    "y rows": (lambda: fit(y=Y[:7]), ValueError, "'x' sizes: 8\n'y' sizes: 7"),
    "y rows, lifted_variables": (
        lambda: compiled().lifted_variables(X, Y[:7]),
        ValueError,
        r"same number of samples.*Received.*'x': \[8\], 'y': \[7\]",
    ),
    "sample_weight rows": (
        lambda: compiled().lifted_gaps(X, Y, np.ones(5)),
        ValueError,
        r"Received.*'sample_weight': \[5\]",
    ),
    "missing y": (lambda: fit(y=None), ValueError, "Expected: y.*Received: y=None"),
    "missing y, lifted_variables": (
        lambda: compiled().lifted_variables(X),
        ValueError,
        "Expected: y.*Received: y=None",
    ),
    "no x": (
        lambda: compiled().lifted_variables(None, Y),
        ValueError,
        r"needs inputs.*Received.*'x': \[\]",
    ),
    "NaN in lifted_variables": (
        lambda: compiled().lifted_variables(NAN, Y),
        ValueError,
        r"must be finite. Received: an array of shape \(8, 4\) with 1 NaN",
    ),
    "infinite y": (
        lambda: compiled().lifted_gaps(X, Y / 0.0),
        ValueError,
        r"must be finite. Received: an array of shape \(8, 1\) with 8 NaN or inf",
    ),
    # the model
    "not compiled": (
        lambda: model().lifted_variables(X, Y),
        ValueError,
        "is not compiled. Call `model.compile",
    ),
    "fit before compile": (
        lambda: model().fit(X, Y),
        ValueError,
        r"must call `compile\(\)` before",
    ),
    "no optimizer": (
        lambda: compiled(None).fit(X, Y, verbose=0),
        ValueError,
        "without an optimizer.*Received: optimizer=None",
    ),
    "no loss": (
        lambda: compiled(loss=None).fit(X, Y, verbose=0),
        ValueError,
        "No loss to compute. Provide a `loss`.*Received: loss=None",
    ),
    "arrays for inputs": (
        lambda: kl.LiftedModel(X, Y),
        TypeError,
        r"takes `inputs` and `outputs`.*Received: ndarray of shape \(8, 4\)",
    ),
    "a model for layers": (
        lambda: kl.LiftedSequential(model()),
        TypeError,
        "takes a list of layers.*Received: .*model.layers",
    ),
    "a penalty for compile": (
        lambda: model().compile("adam", "mse", penalty="bregman"),
        TypeError,
        r"Received: penalty.*BlockCoordinateDescent\('adam', penalty=",
    ),
    "a layer for layers": (
        lambda: kl.LiftedSequential(layers.Dense(3)),
        TypeError,
        r"takes a list of layers.*Received: <Dense.*Pass `\[layer\]`",
    ),
    "a typo for compile": (
        lambda: model().compile("adam", "mse", metric=["mae"]),
        TypeError,
        "Received: metric. See `help",
    ),
    "images that a U-Net cannot halve": (
        lambda: kl.models.unet((30, 30, 1), (4, 8, 16)),
        ValueError,
        r"height must be a multiple of 4.*Received: input_shape=\(30, 30, 1\)",
    ),
    "images that a U-Net of all sizes cannot halve": (
        lambda: kl.models.unet((None, None, 1), (4, 8, 16))(IMAGES),
        ValueError,
        "sides that are multiples of 4. Received at skip_2: 16×16 and 15×15",
    ),
    "fewer samples kept than there are": (
        lambda: keeping(4).fit(X, Y, verbose=0),
        ValueError,
        "keeps lifted variables of 4 samples. Received: 8 samples",
    ),
    "an index for arrays": (
        lambda: kl.with_index(X),
        TypeError,
        "Received: ndarray. Arrays given to `fit` need no index",
    ),
    "a network of text": (
        lambda: kl.stack(3),
        ValueError,
        "built functional or Sequential model. Received: 3",
    ),
    "call in a LiftedModel": (
        lambda: type("Mine", (kl.LiftedModel,), {"call": lambda self, x: x}),
        TypeError,
        r"Received: class Mine with a `call`.*class Mine\(keras_lifted.LiftedMixin",
    ),
    "mixin after the model": (
        lambda: type("Mine", (keras.Model, kl.LiftedMixin), {}),
        TypeError,
        r"must come before keras.Model.*Received: class Mine with the bases \['Model'",
    ),
    "a model for inputs": (
        lambda: kl.LiftedModel(model()),
        TypeError,
        r"Received: <LiftedModel.*`LiftedModel\(model.inputs, model.outputs\)`",
    ),
    "weights of an unbuilt model": (
        lambda: Net().save_weights("x.weights.h5"),
        ValueError,
        "saving a model that has not yet been built",
    ),
    "count of an unbuilt model": (
        lambda: Net().count_params(),
        ValueError,
        "isn't built",
    ),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_error_says_what_was_expected(misuse):
    expect_error(*MISUSES[misuse])


@pytest.mark.parametrize(
    ("build", "counts"),
    [
        (lambda: model("gelu"), "0 of 1"),
        (lambda: model(lambda z: keras.ops.silu(z)), "0 of 1"),
        (lambda: looped(rnn), "0 of 1"),
        (lambda: looped(time_distributed), "0 of 1"),
    ],
    ids=["gelu", "lambda", "rnn", "time distributed"],
)
def test_unlifted_activations_are_counted_once(build, counts):
    with pytest.warns(UserWarning, match=f"^{counts} activations of ") as told:
        lifted = build()
        x = np.zeros((8, *lifted.input_shape[1:]), "float32")
        lifted.compile("sgd", "mse", **QUICK)
        for _ in range(2):
            lifted.train_on_batch(x, np.zeros((8, *lifted.output_shape[1:])))
    assert len(told) == 1 and len(str(told[0].message)) <= 200


def test_models_without_an_activation_and_stray_activations_train():
    for lifted in (compiled(activation=None), stray()):
        before = lifted.get_weights()[0]
        lifted.train_on_batch(X, Y)
        assert not np.array_equal(lifted.get_weights()[0], before)


def test_saving_an_unbuilt_model_warns(tmp_path):
    with pytest.warns(UserWarning, match="not yet been built"):
        Net().save(tmp_path / "net.keras")


LOAD = """
import keras
{imported}
model = keras.models.load_model({path!r})
print("loaded a", type(model).__name__, "with", type(model.optimizer).__name__)
"""


@pytest.mark.parametrize(
    "imported", [pytest.param("", marks=pytest.mark.slow), "import keras_lifted"]
)
def test_loading_needs_the_package(imported, tmp_path):
    path = str(tmp_path / "model.keras")
    compiled().save(path)
    program = textwrap.dedent(LOAD).format(imported=imported, path=path)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=False,
    )
    if imported:
        assert done.returncode == 0, done.stderr
        assert "loaded a LiftedModel with BlockCoordinateDescent" in done.stdout
    else:
        assert done.returncode != 0
        assert "keras_lifted>LiftedModel" in done.stderr or (
            "Could not locate class 'LiftedModel'" in done.stderr
        )


@pytest.mark.skipif(JAX, reason="a scope of TensorFlow")
def test_layers_made_outside_of_the_scope_of_a_strategy():
    import tensorflow as tf

    lifted = model()
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        expect_error(
            lambda: lifted.compile("sgd", "mse", jit_compile=False),
            ValueError,
            "one `with strategy.scope.*Received: 4 made outside, such as 'hidden/",
        )
