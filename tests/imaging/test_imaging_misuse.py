"""What users of `imaging` get wrong, and what the error says about it."""

import numpy as np
import pytest

import keras_lifted as kl

I = kl.imaging  # noqa: E741
KERNEL = np.ones((3, 5)) / 15


def images():
    return np.random.default_rng(1).random((2, 8, 10, 2)).astype("float32")


WRONG = {
    "sigma": (lambda: I.GaussianBlur(0.0), "`sigma` of GaussianBlur"),
    "boundary": (lambda: I.Blur(KERNEL, "wrap"), "'circular'.*'wrap'"),
    "not a matrix": (lambda: I.Blur(np.ones(3)), r"finite matrix.*\(3,\)"),
    "mask": (lambda: I.Mask(np.ones((2, 3)))(images()), r"\(1, 2, 3, 1\)"),
    "masks": (lambda: I.Mask(np.ones((3, 8, 10, 1)))(images()), "one for each image"),
    "filter": (lambda: I.Downsample(2, filter="lanczos"), "`filter` of Downsample"),
    "kernel": (lambda: I.Blur([[np.nan]]), "finite matrix"),
    "ragged kernel": (lambda: I.Blur([[1.0, 2.0], [3.0]]), "`kernel` of Blur.*numbers"),
    "named kernel": (lambda: I.Blur("gauss"), "array of numbers.*'gauss'"),
    "complex kernel": (lambda: I.Blur(1j * KERNEL), "of dtype complex128"),
    "ragged filter": (lambda: I.Downsample(2, [[1], [1, 2]]), "`filter` of Downsample"),
    "infinite filter": (lambda: I.Downsample(2, [[np.inf]]), "finite matrix"),
    "filter of colours": (lambda: I.Downsample(2, np.ones((3, 3, 3))), "finite matrix"),
    "ragged mask": (lambda: I.Mask([[1, 0], [1]]), "`mask` of Mask.*array of numbers"),
    "length": (lambda: I.MotionBlur(-1.0), "`length` of MotionBlur"),
    "std": (lambda: I.GaussianNoise(-0.1), "`std` of GaussianNoise"),
    "peak": (lambda: I.PoissonNoise(0), "`peak` of PoissonNoise"),
    "fraction": (lambda: I.Mask(1.5), "`fraction` of Mask"),
    "nothing masked": (lambda: I.Mask(), "none of them"),
    "box": (lambda: I.Mask(box=(0, 0, 0, 3)), "positive sides"),
    "box outside": (lambda: I.Mask(box=(0, 0, 9, 3))(images()), "within the images"),
    "factor": (lambda: I.Downsample(0), "`factor` must be an integer.*Downsample"),
    "too much": (lambda: I.Downsample(9)(images()), "at most height and width"),
    "compose": (lambda: I.Compose([np.abs]), "Compose takes a list"),
    "rank": (lambda: I.GaussianBlur(1.0)(images()[0]), r"image\[None"),
    "small": (lambda: I.GaussianBlur(3.0)(images()), "reaches 12 pixels"),
    "noise adjoint": (lambda: I.GaussianNoise(0.1).adjoint(images()), "not linear"),
    "mask adjoint": (
        lambda: I.Mask(0.5, resample=True).adjoint(images()),
        "not linear",
    ),
    "degrade": (lambda: I.degrade(images(), I.Downsample(2)), "tf.data.Dataset"),
    "operator": (lambda: I.degrade([], np.abs), "must be a keras_lifted.imaging"),
}


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make()
