"""Degradations: against SciPy and scikit-image, and against their adjoints."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import ndimage

import keras_lifted as kl

I = kl.imaging  # noqa: E741
RNG = np.random.default_rng(0)
KERNEL = RNG.random((3, 5)) / 15


def linear():
    return {
        "gaussian": I.GaussianBlur(1.2),
        "gaussian_zero": I.GaussianBlur(0.8, boundary="zero"),
        "gaussian_reflect": I.GaussianBlur(0.8, boundary="reflect"),
        "gaussian_circular": I.GaussianBlur(0.7, boundary="circular"),
        "gaussian_replicate": I.GaussianBlur(0.7, boundary="replicate"),
        "gaussian_valid": I.GaussianBlur(0.6, boundary="valid"),
        "even": I.Blur(KERNEL[:2, :4], boundary="circular"),
        "motion": I.MotionBlur(4.0, angle=30.0),
        "blur": I.Blur(KERNEL),
        "mask": I.Mask(0.4, seed=1),
        "box": I.Mask(box=(1, 2, 3, 4)),
        "own mask": I.Mask(RNG.random((2, 1, 1, 1)) * np.ones((2, 8, 10, 1))),
        "downsample": I.Downsample(2),
        "bicubic": I.Downsample(2, filter="bicubic"),
        "filtered": I.Downsample(2, filter=KERNEL),
        "composed": I.Compose(
            [I.GaussianBlur(0.7), I.Downsample(2), I.Mask(0.3, seed=2)]
        ),
    }


def every():
    return {
        **linear(),
        "gaussian_noise": I.GaussianNoise(0.1, seed=3),
        "poisson_noise": I.PoissonNoise(50.0, seed=4),
        "resampled": I.Mask(0.4, resample=True, seed=5),
        "camera": I.Compose([I.Blur(KERNEL), I.GaussianNoise(0.1, seed=6)]),
    }


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def images(batch=2, height=8, width=10, channels=2):
    shape = (batch, height, width, channels)
    return np.random.default_rng(1).random(shape).astype("float32")


@pytest.mark.parametrize("key", linear())
@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), half=st.integers(3, 5), channels=st.integers(1, 3))
def test_adjoint(key, seed, half, channels):
    """`⟨A x, y⟩ = ⟨x, Aᵀ y⟩` for random images of random sizes."""
    operator = linear()[key]
    rng = np.random.default_rng(seed)
    height = 8 if key == "own mask" else 2 * half
    x = rng.normal(size=(2, height, 10, channels)).astype("float32")
    ax = number(operator(x))
    y = rng.normal(size=ax.shape).astype("float32")
    left, right = np.sum(ax * y), np.sum(x * number(operator.adjoint(y)))
    scale = np.linalg.norm(ax) * np.linalg.norm(y) + 1e-6
    assert abs(left - right) <= 1e-5 * scale


@pytest.mark.parametrize("key", linear())
def test_linear(key):
    operator, x, y = linear()[key], images(), images()[::-1]
    both = number(operator(2.0 * x - y))
    apart = 2.0 * number(operator(x)) - number(operator(y))
    np.testing.assert_allclose(both, apart, atol=1e-5)


MODES = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "constant": "zero",
    "wrap": "circular",
    "nearest": "replicate",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(3, 5), (2, 4), (1, 2), (4, 3)])
def test_kernels_of_any_sides_agree_with_scipy(mode, shape):
    x, kernel = images(1, 9, 11, 1), np.random.default_rng(2).random(shape)
    got = number(I.Blur(kernel, MODES[mode])(x))[0, ..., 0]
    expected = ndimage.convolve(x[0, ..., 0].astype("float64"), kernel, mode=mode)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    inner = number(I.Blur(kernel, "valid")(x))[0, ..., 0]
    top, left = ((n - 1) // 2 for n in shape)
    rows, columns = inner.shape
    assert (rows, columns) == (9 - shape[0] + 1, 11 - shape[1] + 1)
    same = expected[top : top + rows, left : left + columns]
    np.testing.assert_allclose(inner, same, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_blurs_agree_with_scipy(mode):
    boundary = MODES[mode]
    x = images(1, 12, 14, 1)
    got = number(I.GaussianBlur(1.2, boundary)(x))[0, ..., 0]
    expected = ndimage.gaussian_filter(x[0, ..., 0], 1.2, mode=mode)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    got = number(I.Blur(KERNEL, boundary)(x))[0, ..., 0]
    expected = ndimage.convolve(x[0, ..., 0].astype("float64"), KERNEL, mode=mode)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_motion_blur():
    point = np.zeros((1, 9, 9, 1), "float32")
    point[0, 4, 4] = 1.0
    along = number(I.MotionBlur(5.0)(point))[0, ..., 0]
    np.testing.assert_allclose(along[4, 3:6], 0.2, atol=1e-3)
    assert along[4].sum() == pytest.approx(1.0, abs=1e-5)
    up = number(I.MotionBlur(5.0, angle=90.0)(point))[0, ..., 0]
    np.testing.assert_allclose(up, along.T, atol=1e-5)
    diagonal = number(I.MotionBlur(5.0, angle=45.0)(point))[0, ..., 0]
    assert diagonal[3, 5] > 0.1 > diagonal[3, 3]  # towards the top right


def test_downsample_agrees_with_skimage():
    transform = pytest.importorskip("skimage.transform")
    x = images(1, 8, 12, 2)
    expected = transform.downscale_local_mean(x[0], (4, 4, 1))
    np.testing.assert_allclose(number(I.Downsample(4)(x))[0], expected, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3])
def test_bicubic_agrees_with_tensorflow(factor):
    """Inside; at the edges TensorFlow leaves out pixels and rescales."""
    import tensorflow as tf

    x = images(1, 10 * factor, 11 * factor, 2)
    expected = tf.image.resize(x, (10, 11), method="bicubic", antialias=True).numpy()
    got = number(I.Downsample(factor, filter="bicubic")(x))
    np.testing.assert_allclose(got[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], atol=1e-5)


@pytest.mark.parametrize("filter", ["mean", "bicubic", KERNEL])
def test_rows_that_fill_no_square_are_dropped(filter):
    x, operator = images(1, 14, 16, 1), I.Downsample(3, filter=filter)
    got = number(operator(x))
    assert got.shape == operator.compute_output_shape(x.shape) == (1, 4, 5, 1)
    inner = number(operator(x[:, :12, :15]))
    np.testing.assert_allclose(got[:, :2, :2], inner[:, :2, :2], atol=1e-6)
    assert operator.adjoint(got).shape == (1, 12, 15, 1)


def test_adjoint_of_a_batch_of_unknown_size():
    import tensorflow as tf

    camera = I.Compose([I.GaussianBlur(1.0, "valid"), I.Downsample(2)])
    y = np.random.default_rng(0).random((5, 2, 3, 1)).astype("float32")
    pairs = tf.data.Dataset.from_tensor_slices(y).batch(3).map(camera.adjoint)
    assert pairs.element_spec.shape[1:] == (12, 14, 1)
    found = np.concatenate([np.asarray(batch) for batch in pairs])
    np.testing.assert_allclose(found, number(camera.adjoint(y)), atol=1e-6)


def test_own_masks():
    x = images(3, 4, 5, 2)
    mask = np.random.default_rng(0).random((3, 4, 5, 1)).round()
    np.testing.assert_allclose(number(I.Mask(mask=mask)(x)), mask * x, atol=1e-7)
    np.testing.assert_allclose(
        number(I.Mask(mask[0, ..., 0])(x)), mask[:1] * x, atol=1e-7
    )
    tensor = ops.convert_to_tensor(mask[0, ..., 0])
    np.testing.assert_array_equal(number(I.Mask(tensor)(x)), number(I.Mask(mask[0])(x)))
    both = I.Mask(mask=mask[0], box=(0, 0, 2, 2))
    assert both.linear and number(both(x))[:, :2, :2].max() == 0
    again = I.Mask.from_config(I.Mask(mask).get_config())
    np.testing.assert_allclose(number(again(x)), mask * x, atol=1e-7)


@pytest.mark.parametrize("name", ["mask", "composed"])
def test_a_mask_of_a_seed_is_the_same_once_compiled(name):
    operator = linear()[name]
    model = keras.Sequential([keras.Input((8, 10, 2)), operator])
    model.compile(jit_compile=True)
    compiled = model.predict(images(), verbose=0)
    np.testing.assert_allclose(compiled, number(operator(images())), atol=1e-6)


def test_masks():
    x = np.ones((3, 40, 40, 2), "float32")
    fixed = I.Mask(0.3, seed=0)
    y = number(fixed(x))
    assert 0.65 < y.mean() < 0.75 and set(np.unique(y)) == {0.0, 1.0}
    assert (y == y[:1]).all() and (y[..., 0] == y[..., 1]).all()
    np.testing.assert_array_equal(number(fixed(x)), y)
    again = I.Mask.from_config(I.Mask(0.3).get_config())
    np.testing.assert_array_equal(number(again(x)), number(again(x)))
    new = I.Mask(0.3, resample=True, seed=0)
    first, second = number(new(x)), number(new(x))
    assert (first != second).any() and (first[0] != first[1]).any()


def test_noise():
    x = np.full((1, 200, 200, 1), 0.5, "float32")
    gaussian = number(I.GaussianNoise(0.1, seed=0)(x))
    assert gaussian.std() == pytest.approx(0.1, rel=0.03)
    assert gaussian.mean() == pytest.approx(0.5, abs=0.003)
    poisson = number(I.PoissonNoise(20.0, seed=0)(x))
    assert poisson.var() == pytest.approx(0.5 / 20, rel=0.05)
    assert poisson.mean() == pytest.approx(0.5, abs=0.005)
    np.testing.assert_allclose(20 * poisson, np.round(20 * poisson), atol=1e-4)


@pytest.mark.parametrize("make", [I.GaussianNoise, I.PoissonNoise])
def test_seeds(make):
    x = images()
    a, b = make(3.0, seed=7), make(3.0, seed=7)
    first = number(a(x))
    np.testing.assert_array_equal(first, number(b(x)))
    assert (first != number(a(x))).any()


@pytest.mark.parametrize("key", every())
def test_saved_and_in_a_model(key, tmp_path):
    operator, x = every()[key], images()
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, operator(inputs))
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(
        loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6
    )
    assert model.output_shape[1:] == number(operator(x)).shape[1:]
    config = keras.saving.serialize_keras_object(operator)
    assert keras.saving.deserialize_keras_object(config).get_config() == (
        operator.get_config()
    )


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("form", ["image", "pair", "dict"])
def test_degrade(form, batched):
    import tensorflow as tf

    x, labels = images(4), np.arange(4)
    element = {"image": x, "pair": (x, labels), "dict": {"image": x, "label": labels}}
    dataset = tf.data.Dataset.from_tensor_slices(element[form])
    dataset = dataset.batch(2) if batched else dataset
    operator = I.Compose([I.Downsample(2), I.GaussianNoise(0.0)])
    pairs = list(I.degrade(dataset, operator).as_numpy_iterator())
    join = np.concatenate if batched else np.stack
    degraded, clean = (join([pair[i] for pair in pairs]) for i in (0, 1))
    np.testing.assert_array_equal(clean, x)
    np.testing.assert_allclose(degraded, number(I.Downsample(2)(x)), atol=1e-6)
    shape = I.degrade(dataset, operator).element_spec[0].shape
    assert shape[-3:] == (4, 5, 2)


def test_degrade_draws_new_noise_and_fit_takes_it():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(images(4)).batch(2)
    pairs = I.degrade(dataset, I.GaussianNoise(0.1, seed=0))
    one, two = (np.concatenate([a for a, _ in pairs]) for _ in range(2))
    assert (one != two).all()
    inputs = keras.Input((8, 10, 2))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same")(inputs))
    model.compile("sgd", "mse", metrics=[I.PSNR(), I.SSIM()])
    logs = model.fit(pairs, verbose=0, shuffle=False).history
    assert np.isfinite(logs["psnr"][0]) and np.isfinite(logs["ssim"][0])
