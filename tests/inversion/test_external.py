"""Operators of one's own: outside of TensorFlow and JAX, or on complex images."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_lifted as kl

R = kl.regularizers
JAX = keras.backend.backend() == "jax"
MATRIX = np.random.default_rng(0).standard_normal((30, 20)).astype("float32")


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def on_host(matrix, x):
    """`x matrixᵀ` by NumPy, in the place of a call of the backend."""
    if JAX:
        import jax

        kind = jax.ShapeDtypeStruct((x.shape[0], len(matrix)), "float32")
        return jax.pure_callback(lambda v: np.asarray(v) @ matrix.T, kind, x)
    import tensorflow as tf

    y = tf.numpy_function(lambda v: v @ matrix.T, [x], tf.float32)
    y.set_shape((x.shape[0], len(matrix)))
    return y


class External(layers.Layer):
    def call(self, x):
        return ops.custom_gradient(self.project)(x)

    def project(self, x):
        def back(*arguments, upstream=None):
            g = arguments[0] if upstream is None else upstream
            return on_host(MATRIX.T, g)

        return on_host(MATRIX, x), back


def test_external_operators():
    y = np.random.default_rng(1).standard_normal((2, 30)).astype("float32")
    keywords = {"input_shape": (20,), "verbose": 0}
    result = kl.invert(External(), y, R.Tikhonov(), jit_compile=JAX, **keywords)
    exact = np.linalg.solve(MATRIX.T @ MATRIX + np.eye(20), MATRIX.T @ y.T).T
    np.testing.assert_allclose(result.x, exact, atol=1e-3)
    assert result.converged and np.isfinite(result.certificate).all()
    if not JAX:  # JAX compiles them
        with pytest.raises(ValueError, match="Pass jit_compile=False"):
            kl.invert(External(), y, R.Tikhonov(), **keywords)


class WithoutAdjoint(layers.Layer):
    def call(self, x):
        return on_host(MATRIX, x)


class Looked(layers.Layer):
    def call(self, x):
        return ops.convert_to_tensor(np.asarray(x) @ MATRIX.T)


@pytest.mark.parametrize("operator", [WithoutAdjoint, Looked])
def test_operators_without_an_adjoint_are_told(operator):
    with pytest.raises(ValueError, match="need their adjoint.*custom_vjp") as caught:
        kl.invert(operator(), np.ones((1, 30)), R.L1(), input_shape=(20,))
    assert len(str(caught.value)) <= 600


class Undersampled(layers.Layer):
    """Real and imaginary part as channels: the Fourier transform on some rows."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows.astype("float32").reshape(1, -1, 1)

    def call(self, x):
        real, imaginary = ops.fft2((x[..., 0], x[..., 1]))
        size = float(np.sqrt(x.shape[1] * x.shape[2]))
        return ops.stack([self.rows * real, self.rows * imaginary], -1) / size


def test_complex_images_as_two_channels():
    image = np.zeros((1, 16, 16, 2), "float32")
    image[0, 4:12, 5:11, 0], image[0, 6:12, 5:11, 1] = 1.0, 0.5
    rows = np.random.default_rng(0).random(16) > 0.4
    rows[[0, 1, 2, 14, 15]] = True
    mri = Undersampled(rows)
    y = number(mri(image))
    result = kl.invert(
        mri,
        y,
        R.TotalVariation(),
        alpha=1e-3,
        input_shape=(16, 16, 2),
        max_steps=2000,
        verbose=0,
    )
    zero_filled = float(kl.imaging.psnr(number(mri.call(y)) * 0 + y * 0, image)[0])
    assert float(kl.imaging.psnr(result.x, image)[0]) > zero_filled + 15
