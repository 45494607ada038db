"""Compile and differentiate on whichever backend runs the tests."""

import keras
import numpy as np
import pytest


def jit(function):
    """`function` under XLA."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def grad(function, *tensors):
    """Gradients of `sum(function(*tensors))`, as numpy arrays."""
    if keras.backend.backend() == "jax":
        import jax

        def total(*tensors):
            return keras.ops.sum(function(*tensors))

        grads = jax.jit(jax.grad(total, tuple(range(len(tensors)))))(*tensors)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = keras.ops.sum(function(*tensors))
        grads = tape.gradient(value, tensors, unconnected_gradients="zero")
    return [array(each) for each in grads]


# Keras computes some functions of float64 tensors in float32 on JAX.
HAS_DOUBLE = keras.backend.backend() == "tensorflow"
REAL = "float64" if HAS_DOUBLE else "float32"
needs_double = pytest.mark.skipif(not HAS_DOUBLE, reason="float32 is too coarse")


def close(got, expected, double, single):
    """Compare at the absolute tolerance of the dtype that `REAL` is."""
    atol = double if HAS_DOUBLE else single
    np.testing.assert_allclose(got, expected, rtol=atol, atol=atol)


def tensor(values, dtype="float32"):
    return keras.ops.convert_to_tensor(np.asarray(values), dtype=dtype)


def array(tensor):
    """A float64 numpy array of any float tensor."""
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(tensor).astype("float64")
