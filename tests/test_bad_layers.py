"""What users get wrong about layers, networks and images, and what the error says."""

import numpy as np
import pytest
from keras import layers
from mistakes import expect_error

import keras_lifted as kl

L = kl.layers

# name: (what the user does, error, what the message says of expected and received)
MISUSES = {
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
    **{
        f"{name} {settings}": (
            lambda name=name, settings=settings: getattr(L, name)(**settings),
            ValueError,
            f"of {name} must be .*Received: .*={next(iter(settings.values()))!r}",
        )
        for name, settings in (
            ("SoftThreshold", {"threshold": "0.1"}),
            ("SoftThreshold", {"learnable": 1}),
            ("GroupSoftThreshold", {"axis": 0}),
            ("SimplexProjection", {"axis": 0}),
            ("Softmax", {"axis": 1.5}),
            ("L2BallProjection", {"radius": -1.0}),
            ("ELU", {"alpha": 2.0}),
        )
    },
    "stack of no blocks": (
        lambda: L.ProximalStack(4, 0, "relu"),
        ValueError,
        "`depth` must be .*Received: depth=0",
    ),
    "stack of no proximal map": (
        lambda: L.ProximalStack(4, 2, "gelu"),
        ValueError,
        "'gelu' is no proximal map",
    ),
    "misspelt in a layer of Keras": (
        lambda: layers.Dense(3, activation="soft_threshold"),
        ValueError,
        "Could not interpret activation function identifier: soft_threshold",
    ),
    # networks and images
    **{
        f"{network} {arguments} {settings}": (
            lambda network=network, arguments=arguments, settings=settings: getattr(
                kl.models, network
            )(*arguments, **settings),
            ValueError,
            message,
        )
        for network, arguments, settings, message in (
            ("mlp", ((4,), (0,), 1), {}, "`units` must be .*Received: units=0"),
            ("mlp", ((4,), (3,), 1), {"cls": layers.Layer}, "`cls`.*Received: cls="),
            ("mlp", ((4,), (3,), 1), {"activation": "gelu"}, "no proximal map"),
            ("mlp", ((4,), (3, 2), 1), {"activation": ["relu"]}, "Received: 1 of"),
            ("conv_net", ((4,), (3,), 1), {}, r"Received: input_shape=\(4,\)"),
            ("resnet", ((8, 8, 1), (4,), 1), {"skip": "by"}, "Received: skip='by'"),
            ("unet", ((8, 8, 1), (4, 8)), {"kernel_size": 2}, "odd.*Received.*=2"),
            ("proximal_network", ((8, 8, 1),), {"scheme": "ista"}, "'ista'"),
            (
                "transformer_encoder",
                ((4, 4), 1),
                {"width": 5, "heads": 2},
                "Received: width=5, heads=2",
            ),
        )
    },
    **{
        f"{name} of {value}": (
            lambda name=name, value=value: getattr(kl.imaging, name)(value),
            ValueError,
            f"must be .*Received: .*={value!r}",
        )
        for name, value in (
            ("GaussianBlur", -1.0),
            ("GaussianNoise", -0.1),
            ("Mask", 1.5),
            ("Downsample", 0),
            ("MotionBlur", 0),
        )
    },
    "images of two shapes": (
        lambda: kl.imaging.psnr(np.zeros((2, 4, 4, 1)), np.zeros((2, 5, 5, 1))),
        ValueError,
        r"Received: shapes \(2, 4, 4, 1\) and \(2, 5, 5, 1\)",
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
    expect_error(*MISUSES[misuse])
