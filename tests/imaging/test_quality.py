"""PSNR and SSIM against scikit-image."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_lifted as kl

metrics = pytest.importorskip("skimage.metrics")


def pictures():
    """Pairs of a clean and a degraded picture: noise, blur, flat, saturated."""
    data = pytest.importorskip("skimage.data")
    from scipy import ndimage

    rng = np.random.default_rng(0)
    camera = data.camera()[::8, ::8] / 255.0
    flat = np.full_like(camera, 0.7)
    flat[20:40, 10:30] = 0.1
    half = (rng.random(camera.shape) > 0.5).astype(float)
    pairs = [
        (camera, camera + 0.1 * rng.normal(size=camera.shape)),
        (camera, ndimage.gaussian_filter(camera, 1.5)),
        (flat, flat + 1e-3 * rng.normal(size=camera.shape)),
        (half, 1 - half),
    ]
    a, b = (np.stack([p[i] for p in pairs]).astype("float32") for i in (0, 1))
    return np.stack([a, 0.5 * a], -1), np.stack([b, 0.6 * b], -1)


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_agrees_with_skimage(data_range):
    a, b = (data_range * each for each in pictures())
    expected = [
        metrics.peak_signal_noise_ratio(
            x.astype("float64"), y.astype("float64"), data_range=data_range
        )
        for x, y in zip(a, b)
    ]
    got = number(kl.imaging.psnr(a, b, data_range))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_agrees_with_skimage(gaussian, data_range):
    a, b = (data_range * each for each in pictures())
    choice = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = [
        metrics.structural_similarity(
            x.astype("float64"),
            y.astype("float64"),
            data_range=data_range,
            channel_axis=-1,
            **(choice if gaussian else {}),
        )
        for x, y in zip(a, b)
    ]
    got = number(kl.imaging.ssim(a, b, data_range, gaussian))
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_the_range_of_integers_is_that_of_their_dtype():
    a, b = ((255 * each.clip(0, 1)).astype("uint8") for each in pictures())
    expected = [metrics.peak_signal_noise_ratio(x, y) for x, y in zip(a, b)]
    np.testing.assert_allclose(number(kl.imaging.psnr(a, b)), expected, rtol=1e-5)
    np.testing.assert_allclose(
        number(kl.imaging.ssim(a, b)), number(kl.imaging.ssim(a, b, 255.0)), rtol=1e-6
    )
    wide = number(kl.imaging.psnr(257 * a.astype("uint16"), 257 * b.astype("uint16")))
    np.testing.assert_allclose(wide, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="int32.*data_range=255"):
        kl.imaging.psnr(a.astype("int32"), b.astype("int32"))


@pytest.mark.parametrize("name", ["psnr", "ssim"])
def test_floats_of_0_to_255_are_told(name):
    a, b = pictures()
    with pytest.warns(UserWarning, match="data_range, e.g. 255"):
        getattr(kl.imaging, name)(255 * a, 255 * b)


def test_equal_images():
    a, _ = pictures()
    assert np.isinf(number(kl.imaging.psnr(a, a))).all()
    np.testing.assert_allclose(number(kl.imaging.ssim(a, a)), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", ["PSNR", "SSIM"])
def test_metrics_are_means_over_images(name):
    a, b = pictures()
    metric = getattr(kl.imaging, name)(data_range=2.0)
    metric.update_state(a[:3], b[:3])
    metric.update_state(a[3:], b[3:])
    function = getattr(kl.imaging, name.lower())
    expected = number(function(a, b, data_range=2.0)).mean()
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    config = keras.saving.serialize_keras_object(metric)
    again = keras.saving.deserialize_keras_object(config)
    again.update_state(a, b)
    assert float(again.result()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda a: kl.imaging.psnr(a, a[:, 1:]), "of one shape"),
        (lambda a: kl.imaging.ssim(a[:, :5], a[:, :5]), "at least 7 pixels"),
        (lambda a: kl.imaging.psnr(a, a, 0.0), "`data_range` of psnr"),
        (lambda a: kl.imaging.SSIM(data_range=-1.0), "`data_range` of SSIM"),
    ],
)
def test_errors_say_what_to_do(make, message):
    with pytest.raises(ValueError, match=message):
        make(pictures()[0])
