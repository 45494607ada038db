"""What users get wrong, and what the error says about it."""

import math
import os
import re
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers

import keras_lifted as kl

JAX = keras.backend.backend() == "jax"
QUICK = {} if JAX else {"run_eagerly": True}  # nothing to compile on TensorFlow
X = np.linspace(-1, 1, 32).reshape(8, 4).astype("float32")
Y = X[:, :1]
NAN = np.where(np.arange(32).reshape(8, 4) == 5, np.float32("nan"), X)
L, P, U = kl.layers, kl.penalties, kl.updates
BCD = kl.optimizers.BlockCoordinateDescent


def model(activation="relu"):
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, activation=activation, name="hidden")(inputs)
    return kl.LiftedModel(inputs, layers.Dense(1)(hidden))


def compiled(optimizer="sgd", loss="mse", activation="relu"):
    lifted = model(activation)
    lifted.compile(optimizer, loss, **QUICK)
    return lifted


def fit(x=X, y=Y, **arguments):
    compiled().fit(x, y, verbose=0, **arguments)


def plain(optimizer):
    inputs = keras.Input((4,))
    ordinary = keras.Model(inputs, layers.Dense(1)(inputs))
    ordinary.compile(optimizer, "mse", **QUICK)
    ordinary.fit(X, Y, verbose=0)


def looped(loop):
    inputs = keras.Input((5, 4))
    outputs = layers.Dense(1)(loop(L.Tanh())(inputs))
    kl.LiftedModel(inputs, outputs).compile("sgd", "mse")


def time_distributed(activation):
    return layers.TimeDistributed(layers.Dense(3, activation=activation))


def rnn(activation):
    return layers.SimpleRNN(3, activation=activation)


class Net(kl.LiftedMixin, keras.Model):
    """Built by its first call."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(3, activation="relu", name="hidden")
        self.out = layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))


def net(optimizer):
    lifted = Net()
    lifted.compile(optimizer, "mse", **QUICK)
    lifted.fit(X, Y, verbose=0)


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
    lifted.fit(X, Y, verbose=0)


def one_optimizer_for_two():
    optimizer = BCD("sgd")
    compiled(optimizer).train_on_batch(X, Y)
    compiled(optimizer)


def nan_loss(y, outputs):
    return keras.ops.mean(outputs - y, axis=-1) * float("nan")


def scaled(optimizer):
    return keras.optimizers.LossScaleOptimizer(optimizer)


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
    "no activation": (
        lambda: compiled(activation=None),
        ValueError,
        "no proximal activation.*Expected at least one",
    ),
    "no activation, built late": (
        lambda: kl.LiftedSequential([layers.Dense(1)]).lifted_blocks,
        ValueError,
        "no proximal activation.*Expected at least one",
    ),
    "kl activation in an RNN": (
        lambda: looped(rnn),
        ValueError,
        r"'tanh.*' is inside the loop of 'simple_rnn.*' \(SimpleRNN\).*Use the Keras",
    ),
    "kl activation in TimeDistributed": (
        lambda: looped(time_distributed),
        ValueError,
        r"inside the loop of 'time_distributed.*' \(TimeDistributed\)",
    ),
    "stray activation": (
        stray,
        ValueError,
        "'stray' was called, but it is not among the layers.*Assign it",
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
    # penalties
    "negative weight": (
        lambda: P.Bregman(weight=-1.0),
        ValueError,
        "weight must be positive.*Received: weight=-1.0",
    ),
    "zero weight": (lambda: P.Quadratic(0), ValueError, "positive.*Received: weight=0"),
    "NaN weight": (lambda: P.Bregman(math.nan), ValueError, "Received: weight=nan"),
    "weight in a dict": (
        lambda: P.Bregman({"hidden": -2.0}),
        ValueError,
        "weight of 'hidden' must be positive.*Received: weight=-2.0",
    ),
    "weight of text": (
        lambda: P.Bregman("10"),
        TypeError,
        "must be a number or a dict.*Received: '10'",
    ),
    "weight of a list": (lambda: P.Bregman([1.0]), TypeError, r"Received: \[1.0\]"),
    "unknown name": (
        lambda: compiled(BCD("sgd", P.Bregman({"hiden": 1.0}))),
        ValueError,
        r"unknown names: \['hiden'\].*activations are: \['hidden'\]",
    ),
    "unknown name, built late": (
        lambda: net(BCD("sgd", P.Bregman({"hiden": 1.0}))),
        ValueError,
        r"unknown names: \['hiden'\].*activations are: \['hidden'\]",
    ),
    "unknown penalty": (
        lambda: BCD("sgd", penalty="bergman"),
        ValueError,
        "one of the names.*'bregman'.*Received: 'bergman'",
    ),
    "update for penalty": (
        lambda: BCD("sgd", U.Mirror()),
        ValueError,
        "`penalty` must be a keras_lifted penalty.*Received: <keras_lifted.*Mirror",
    ),
    **{
        f"dual step {value!r}": (
            lambda value=value: P.Fenchel(dual_step=value),
            ValueError,
            f"`dual_step`.*number in .0, 1..*Received: dual_step={value!r}",
        )
        for value in (-0.1, 1.5, math.nan, "big", True)
    },
    "no tolerance": (
        lambda: P.Fenchel(tolerance=0.0),
        ValueError,
        "`tolerance`.*positive.*Received: tolerance=0.0",
    ),
    "much feedback": (
        lambda: P.Contrastive(feedback=2.0),
        ValueError,
        "`feedback`.*number in .0, 1..*Received: feedback=2.0",
    ),
    "feedback of text": (
        lambda: P.Contrastive(feedback="1"),
        ValueError,
        "Received: feedback='1'",
    ),
    # updates
    "unknown update": (
        lambda: BCD("sgd", lifted_update="swep"),
        ValueError,
        "one of the names.*'sweep'.*Received: 'swep'",
    ),
    "unknown acceleration": (
        lambda: U.ProximalGradient(acceleration="nestrov"),
        ValueError,
        "'nesterov'.*Received: acceleration='nestrov'",
    ),
    "no steps": (lambda: U.Mirror(0), ValueError, "at least 1.*Received: steps=0"),
    "negative steps": (
        lambda: U.ProximalGradient(-1),
        ValueError,
        "integer of at least 1.*Received: steps=-1",
    ),
    "half steps": (lambda: U.Mirror(1.5), ValueError, "Received: steps=1.5"),
    "negative tolerance": (
        lambda: U.Mirror(tolerance=-1e-3),
        ValueError,
        "finite number >= 0.*Received: tolerance=-0.001",
    ),
    "NaN tolerance": (
        lambda: U.ProximalGradient(tolerance=math.nan),
        ValueError,
        "Received: tolerance=nan",
    ),
    # optimizers
    "unknown optimizer": (
        lambda: compiled("sdg"),
        ValueError,
        "Could not interpret optimizer identifier: sdg",
    ),
    "unknown inner optimizer": (
        lambda: BCD("sdg"),
        ValueError,
        "Could not interpret optimizer identifier: sdg",
    ),
    "lifted twice": (
        lambda: BCD(BCD("sgd")),
        ValueError,
        "must be an ordinary Keras optimizer. Received: .*lifted already",
    ),
    "lifted twice, scaled": (
        lambda: BCD(scaled(BCD("sgd"))),
        ValueError,
        "must be an ordinary Keras optimizer. Received: .*lifted already",
    ),
    "plain model": (
        lambda: plain(BCD("sgd")),
        ValueError,
        r"Received: an ordinary model. Build it as LiftedModel\(model.inputs",
    ),
    "one optimizer for two models": (
        one_optimizer_for_two,
        ValueError,
        "Received: an optimizer that was built for another model.*Create a new one",
    ),
    "no refresh": (
        lambda: BCD("sgd", curvature_refresh=0),
        ValueError,
        "at least 1.*Received: curvature_refresh=0",
    ),
    "half refresh": (
        lambda: BCD("sgd", curvature_refresh=2.5),
        ValueError,
        "must be an integer.*Received: curvature_refresh=2.5",
    ),
    # activations
    "negative threshold": (
        lambda: L.SoftThreshold(-0.1),
        ValueError,
        "`threshold` of SoftThreshold must be .* >= 0.*Received: threshold=-0.1",
    ),
    "slope": (
        lambda: L.LeakyReLU(1.5),
        ValueError,
        "LeakyReLU must be .*Received: .*=1.5",
    ),
    "lower above upper": (
        lambda: L.BoxProjection(1.0, 0.0),
        ValueError,
        "BoxProjection.*Received: lower=1.0, upper=0.0",
    ),
    "prox of no length": (
        lambda: L.ReLU().prox([[1.0]], 0.0),
        ValueError,
        "positive finite number.*Received: step=0.0",
    ),
    "batch axis": (
        lambda: L.Softmax(axis=0),
        ValueError,
        "integer other than 0, which is the batch.*Received: axis=0",
    ),
    "unknown activation": (
        lambda: L.get("rellu"),
        ValueError,
        "one of:.*relu.*Received: 'rellu'",
    ),
    "no proximal map": (
        lambda: L.get("gelu"),
        ValueError,
        "'gelu' is no proximal map.*use one that is.*Received: 'gelu'",
    ),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_error_says_what_was_expected(misuse):
    act, error, message = MISUSES[misuse]
    with pytest.raises(error) as caught, np.errstate(divide="ignore"):
        act()
    assert re.search(message, str(caught.value), re.DOTALL), str(caught.value)


def test_unlifted_activations_are_named_once():
    with pytest.warns(UserWarning, match=r"\['hidden'\] are no proximal maps"):
        with pytest.raises(ValueError, match="no proximal activation"):
            compiled(activation="gelu")


def test_saving_an_unbuilt_model_warns(tmp_path):
    with pytest.warns(UserWarning, match="not yet been built"):
        Net().save(tmp_path / "net.keras")


@pytest.mark.parametrize("update", ["sweep", "proximal_gradient"])
@pytest.mark.parametrize("what", ["x", "y", "loss"])
def test_a_loss_that_is_no_number_stops_the_training(what, update):
    """One bad sample; the weights stay finite and unchanged by its batch."""
    lifted = compiled(BCD("adam", lifted_update=update), nan_loss)
    if what != "loss":
        lifted = compiled(BCD("adam", lifted_update=update))
    x = NAN if what == "x" else X
    y = NAN[:, 1:2] if what == "y" else Y
    before = lifted.get_weights()
    with pytest.raises(ValueError, match="The loss is nan after epoch 1. Expected"):
        lifted.fit(x, y, batch_size=8, epochs=3, verbose=0)
    for old, new in zip(before, lifted.get_weights()):
        np.testing.assert_array_equal(new, old)
    for variable in lifted.optimizer.inner_optimizer.variables:
        assert np.isfinite(keras.ops.convert_to_numpy(variable)).all()


def test_training_recovers_from_a_bad_batch():
    """Batches after a NaN train as usual, batch statistics included."""
    inputs = keras.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(3, activation="relu")(inputs))
    lifted = kl.LiftedModel(inputs, layers.Dense(1)(x))
    update = U.ProximalGradient(2)
    lifted.compile(BCD("adam", lifted_update=update), "mse", **QUICK)
    lifted.train_on_batch(NAN, Y)
    lifted.reset_metrics()
    before = lifted.get_weights()
    logs = lifted.train_on_batch(X, Y, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values()), logs
    for old, new in zip(before, lifted.get_weights()):
        assert np.isfinite(new).all()
        assert not np.array_equal(new, old)


LOAD = """
import keras
{imported}
model = keras.models.load_model({path!r})
print("loaded a", type(model).__name__, "with", type(model.optimizer).__name__)
"""


@pytest.mark.parametrize("imported", ["", "import keras_lifted"])
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
