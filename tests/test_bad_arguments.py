"""What users get wrong about arguments and names, and what the error says."""

import math

import keras
import pytest
from keras import layers
from mistakes import BCD, QUICK, Net, X, Y, compiled, expect_error

import keras_lifted as kl

P, U = kl.penalties, kl.updates
ISGM, SteepestDescent = kl.optimizers.ISGM, kl.optimizers.SteepestDescent


def plain(optimizer):
    inputs = keras.Input((4,))
    ordinary = keras.Model(inputs, layers.Dense(1)(inputs))
    ordinary.compile(optimizer, "mse", **QUICK)
    ordinary.fit(X, Y, verbose=0)


def net(optimizer):
    lifted = Net()
    lifted.compile(optimizer, "mse", **QUICK)
    lifted.fit(X, Y, verbose=0)


def one_optimizer_for_two():
    optimizer = BCD("sgd")
    compiled(optimizer).train_on_batch(X, Y)
    compiled(optimizer)


def scaled(optimizer):
    return keras.optimizers.LossScaleOptimizer(optimizer)


# name: (what the user does, error, what the message says of expected and received)
MISUSES = {
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
        "a name such as 'adam'.*Received: optimizer='sdg'",
    ),
    "unknown inner optimizer": (
        lambda: BCD("sdg"),
        ValueError,
        "a name such as 'adam'.*Received: weight_optimizer='sdg'",
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
    **{
        f"{name} of {kind.__name__}": (
            lambda kind=kind, settings=settings: kind(**settings),
            ValueError,
            message,
        )
        for kind, name, settings, message in (
            (
                kl.optimizers.ISGM,
                "geometry",
                {"geometry": "euclid"},
                "Received.*'euclid'",
            ),
            *(
                (kind, f"rate {rate}", {"learning_rate": rate}, f"Received.*{rate}")
                for kind in (ISGM, SteepestDescent)
                for rate in ("fast", -1.0, math.inf, math.nan, True)
            ),
            *(
                (SteepestDescent, name, {name: -0.1}, f"least 0. Received: {name}=-0.1")
                for name in ("weight_decay", "clipnorm", "loss_scale_factor")
            ),
            *(
                (SteepestDescent, f"fallback {each}", {"fallback": each}, expected)
                for each in ("foo", 3, None)
                for expected in (f"'adam'.*Received: fallback='?{each}",)
            ),
            (kl.callbacks.PenaltyScheduler, "number", {"schedule": 3}, "Received.*=3"),
            (
                kl.optimizers.SteepestDescent,
                "geometry",
                {"geometry": "euclid"},
                "'kronecker'",
            ),
            (
                kl.optimizers.SteepestDescent,
                "momentum",
                {"momentum": 1.5},
                "Received.*=1.5",
            ),
            (
                kl.optimizers.SteepestDescent,
                "decay",
                {"decay": "cosine"},
                "'fit'.*'cosine'",
            ),
            (
                kl.optimizers.SteepestDescent,
                "refresh",
                {"refresh_every": 0},
                "Received.*=0",
            ),
            (BCD, "samples", {"persistent": -4}, "at least 1.*Received.*=-4"),
            (BCD, "persistence", {"persistent": "yes"}, "True, False.*'yes'"),
            (BCD, "penalty class", {"penalty": P.Bregman}, "Received: <class"),
            (BCD, "update class", {"lifted_update": U.Mirror}, "Received: <class"),
            (BCD, "penalty array", {"penalty": X}, r"Received: ndarray of shape"),
        )
    },
    "full steps from stored lifted variables": (
        lambda: BCD("sgd", persistent=True),
        ValueError,
        r"Sweep takes full steps.*Received: lifted_update=Sweep.*ProximalGradient\(",
    ),
    **{
        f"rate {rate} of {kind.__name__}, assigned": (
            lambda kind=kind, rate=rate: setattr(kind(), "learning_rate", rate),
            ValueError,
            f"a finite number of at least 0.*Received: learning_rate={rate}",
        )
        for kind in (ISGM, SteepestDescent, BCD)
        for rate in (-1.0, math.nan, None)
    },
    "an optimizer's class": (
        lambda: compiled(keras.optimizers.Adam),
        ValueError,
        "an instance such as.*Received: optimizer=<class",
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
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_the_error_says_what_was_expected(misuse):
    expect_error(*MISUSES[misuse])
