"""Proximal networks against their problem, solved by other means."""

import keras
import numpy as np
import pytest
from keras import ops
from mistakes import JAX, expect_error

import keras_lifted as kl

SIDE, CHANNELS, FILTERS, THRESHOLD = 5, 2, 3, 0.15
TiedConvolution = kl.architectures.TiedConvolution


def layer(kernel_size=3):
    keras.utils.set_random_seed(1)
    convolution = TiedConvolution(CHANNELS, FILTERS, kernel_size)
    convolution.build((None, SIDE, SIDE, CHANNELS))
    return convolution


def matrix(kernel, side=SIDE):
    """`L` for images of `side`², its entries placed one by one."""
    size, _, channels, filters = kernel.shape
    full = np.zeros((side, side, filters, side, side, channels))
    for i, j, a, b in np.ndindex(side, side, size, size):
        row, column = i + a - size // 2, j + b - size // 2
        if 0 <= row < side and 0 <= column < side:
            full[i, j, :, row, column, :] = kernel[a, b].T
    return full.reshape(side * side * filters, side * side * channels)


def image(*channels, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(1, SIDE, SIDE, *channels)).astype("float32")


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_operator_and_adjoint(kernel_size):
    convolution = layer(kernel_size)
    x, u = image(CHANNELS), image(FILTERS, seed=1)
    forward = ops.convert_to_numpy(convolution(x))
    back = ops.convert_to_numpy(convolution(u, adjoint=True))
    np.testing.assert_allclose(np.sum(forward * u), np.sum(x * back), rtol=1e-5)
    full = matrix(ops.convert_to_numpy(convolution.kernel))
    np.testing.assert_allclose(forward.ravel(), full @ x.ravel(), atol=1e-5)
    np.testing.assert_allclose(back.ravel(), full.T @ u.ravel(), atol=1e-5)


def test_norm(monkeypatch):
    """At first a few per cent too small at most, never too large; then exact."""
    monkeypatch.setattr("keras_lifted.layers.tied_convolution.SIDE", 8)
    convolution = layer()
    kernel = ops.convert_to_numpy(convolution.kernel)
    exact = np.linalg.svd(matrix(kernel, 8), compute_uv=False)[0]
    assert 0.95 * exact <= float(convolution.norm()) <= exact * (1 + 1e-5)
    x = image(CHANNELS)
    for _ in range(60):
        scaled = convolution(x, scale=1.5, training=True)
    np.testing.assert_allclose(float(convolution.norm()), exact, rtol=1e-3)
    expected = 1.5 / exact**2 * ops.convert_to_numpy(convolution(x))
    np.testing.assert_allclose(scaled, expected, rtol=3e-3, atol=1e-6)


def test_the_norm_is_differentiated(monkeypatch):
    """A step of SGD(1) against differences of the loss of `L x/‖L‖²`."""
    monkeypatch.setattr("keras_lifted.layers.tied_convolution.SIDE", 8)
    convolution = TiedConvolution(CHANNELS, FILTERS)
    inputs = keras.Input((SIDE, SIDE, CHANNELS))
    model = keras.Model(inputs, convolution(inputs, scale=1.0))
    model.compile(keras.optimizers.SGD(1.0), "mse")
    x = image(CHANNELS)
    for _ in range(60):
        convolution(x, scale=1.0, training=True)
    kernel = ops.convert_to_numpy(convolution.kernel)
    model.train_on_batch(x, np.zeros(model(x).shape))
    gradient = kernel - ops.convert_to_numpy(convolution.kernel)
    along = np.random.default_rng(2).normal(size=kernel.shape)
    for direction in (kernel, along):  # that of its length first
        losses = []
        for step in (1e-2, -1e-2):
            convolution.kernel.assign(kernel + step * direction)
            losses.append(np.mean(np.square(model.predict(x, verbose=0))))
        expected = (losses[0] - losses[1]) / 2e-2
        np.testing.assert_allclose(np.sum(gradient * direction), expected, rtol=1e-2)


def test_a_kernel_of_zeros_keeps_the_norm_finite():
    convolution = layer()
    convolution.kernel.assign(np.zeros(convolution.kernel.shape))
    moved = convolution(image(CHANNELS), scale=1.0, training=True)
    assert not np.any(ops.convert_to_numpy(moved))


def minimiser(kernel, z):
    """`argmin_x ½‖x − z‖² + λ‖L x‖₁` from its dual, least squares within bounds."""
    optimize = pytest.importorskip("scipy.optimize")
    full = matrix(kernel)
    bounds = (-THRESHOLD, THRESHOLD)
    dual = optimize.lsq_linear(full.T, z.ravel(), bounds, tol=1e-12, max_iter=500)
    return z - (full.T @ dual.x).reshape(z.shape)


@pytest.mark.parametrize(
    "scheme, steps",
    [("forward_backward", 60), ("accelerated", 60), ("chambolle_pock", 100)],
)
def test_a_shared_operator_solves_the_problem(scheme, steps):
    model = kl.models.proximal_network(
        (SIDE, SIDE, CHANNELS),
        FILTERS,
        steps,
        scheme,
        THRESHOLD,
        shared=True,
        cls=keras.Model,
    )
    z = image(CHANNELS)
    got = ops.convert_to_numpy(model(z))
    expected = minimiser(ops.convert_to_numpy(model.layers[1].kernel), z)
    assert np.abs(expected - z).max() > 0.1  # there is something to do
    np.testing.assert_allclose(got, expected, atol=2e-3)


@pytest.mark.skipif(JAX, reason="the same on every backend")
def test_each_step_has_its_own_operator_unless_shared():
    own = kl.models.proximal_network((4, 4, 1), 2, 3, cls=keras.Model)
    shared = kl.models.proximal_network((4, 4, 1), 2, 3, shared=True, cls=keras.Model)
    kernels = [
        sum(w.name == "kernel" for w in net.trainable_weights) for net in (own, shared)
    ]
    assert kernels == [3, 1]
    fixed = kl.models.proximal_network(
        (4, 4, 1), 2, 3, learnable=False, cls=keras.Model
    )
    assert len(fixed.trainable_weights) == 3


def test_wrong_channels():
    convolution, u = layer(), image(FILTERS)
    expect_error(
        lambda: convolution(u), ValueError, "takes 2 channels.*did you mean adjoint="
    )
    expect_error(
        lambda: convolution(image(CHANNELS), scale=0.0), ValueError, "`scale` .* > 0"
    )


# -- the same as one layer -------------------------------------------------------------


def both(steps=4):
    """The network, and the layer with its weights."""
    keras.utils.set_random_seed(3)
    network = kl.models.proximal_network((SIDE, SIDE, CHANNELS), FILTERS, steps)
    inputs = keras.Input((SIDE, SIDE, CHANNELS))
    layer = kl.layers.DualForwardBackward(FILTERS, steps)
    model = kl.LiftedModel(inputs, layer(inputs))
    operators = [network.get_layer(f"operator_{k + 1}") for k in range(steps)]
    for k in range(steps):
        network.get_layer(f"dual_{k + 1}").set_weights([np.float32(0.05 * (k + 1))])
    blocks = [*layer.before.get_blocks(), layer.last]
    for k, block in enumerate(blocks):
        block.operator.set_weights(operators[k].get_weights())
        block.sigma.set_weights([np.float32(0.05 * (k + 1))])
    layer.before.set_blocks(blocks[:-1])
    return network, model


def test_the_layer_is_the_network():
    network, model = both()
    x = image(CHANNELS)
    outputs = [m.predict(x, verbose=0) for m in (network, model)]
    np.testing.assert_allclose(*outputs, atol=1e-5)
    losses = []
    for m in (network, model):
        m.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=True)
        losses.append([float(m.train_on_batch(x, 0 * x)) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][0] > 1.01 * losses[0][-1]


def test_the_layer_is_saved(tmp_path):
    model = both(3)[1]
    model.save(tmp_path / "layer.keras")
    loaded = keras.models.load_model(tmp_path / "layer.keras")
    x = image(CHANNELS)
    outputs = [m.predict(x, verbose=0) for m in (model, loaded)]
    np.testing.assert_array_equal(*outputs)


def test_the_layer_takes_steps():
    make = kl.layers.DualForwardBackward
    expect_error(lambda: make(4, 1), ValueError, "`steps` must be at least 2")
    expect_error(lambda: make(4, 3, kernel_size=2), ValueError, "`kernel_size` must be")
