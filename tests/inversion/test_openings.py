"""Fidelities, denoisers, masks, external operators: against solvers of their own."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import optimize

import keras_lifted as kl
from keras_lifted.inversion.steps import Steps

R, I = kl.regularizers, kl.inversion  # noqa: E741


def number(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def dense(inputs=8, outputs=6, positive=False):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(inputs, outputs)).astype("float32")
    kernel = np.abs(kernel) if positive else kernel
    layer = layers.Dense(outputs, use_bias=False)
    layer.build((None, inputs))
    layer.set_weights([kernel])
    return layer, kernel.astype("float64")


def test_least_squares_with_a_map_of_noise():
    layer, kernel = dense()
    rng = np.random.default_rng(1)
    y, std = 5.0 * rng.normal(size=(2, 6)), rng.uniform(0.2, 2.0, size=(2, 6))
    result = kl.invert(
        layer, y, R.Tikhonov(), alpha=0.3, noise_std=std, tolerance=1e-4, verbose=0
    )
    for i in range(2):
        w = std[i] ** -2
        left = (kernel * w) @ kernel.T + 0.3 * np.eye(8)
        exact = np.linalg.solve(left, kernel @ (w * y[i]))
        np.testing.assert_allclose(result.x[i], exact, atol=1e-3)
    error = ((result.x @ kernel - y) / std) ** 2
    np.testing.assert_allclose(result.data_residual**2, error.sum(1), rtol=1e-3)
    chosen = kl.invert(
        layer, y, R.Tikhonov(), noise_std=std, alpha_rule="discrepancy", verbose=0
    )
    np.testing.assert_allclose(chosen.data_residual, 6**0.5, rtol=0.05)
    np.testing.assert_allclose(chosen.noise_residual, 6**0.5)


def test_huber():
    layer, kernel = dense()
    y = np.random.default_rng(1).normal(size=6)
    y[2] += 30.0  # an outlier

    def energy(u):
        t = np.abs(u @ kernel - y)
        inner = np.minimum(t, 0.5)
        return (inner * (t - 0.5 * inner)).sum() + 0.05 * (u**2).sum()

    best = optimize.minimize(energy, np.zeros(8), method="BFGS", tol=1e-9)
    found = kl.invert(
        layer,
        y[None],
        R.Tikhonov(),
        alpha=0.1,
        fidelity=I.Huber(0.5),
        tolerance=1e-4,
        verbose=0,
    )
    assert found.objective[0] == pytest.approx(best.fun, rel=1e-4)
    assert found.objective[0] - best.fun <= found.certificate[0] + 1e-4


@pytest.mark.parametrize("background", [0.0, 0.5])
def test_kullback_leibler(background):
    layer, kernel = dense(positive=True)
    rng = np.random.default_rng(1)
    y = rng.poisson(3 * rng.random(8) @ kernel).astype("float64")

    def energy(u):
        z = np.maximum(u @ kernel, 1e-12) + background
        terms = z - y + np.where(y > 0, y * np.log(np.maximum(y, 1e-9) / z), 0.0)
        slope = kernel @ (1 - y / z) + 0.2
        return terms.sum() + 0.2 * u.sum(), slope

    best = optimize.minimize(
        energy,
        np.ones(8),
        jac=True,
        bounds=[(0, None)] * 8,
        method="L-BFGS-B",
        options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 10_000},
    )
    found = kl.invert(
        layer,
        y[None],
        R.L1(0.2) + R.NonNegative(),
        fidelity=I.KullbackLeibler(background),
        max_steps=4000,
        tolerance=1e-5,
        verbose=0,
    )
    assert found.converged
    assert found.objective[0] == pytest.approx(best.fun, rel=1e-4)
    assert found.objective[0] - best.fun <= found.certificate[0] + 1e-4


def test_fidelities_say_what_they_cannot_do():
    hidden = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5, "relu"), layers.Dense(3)]
    )
    y = np.ones((1, 3), "float32")
    with pytest.raises(ValueError, match="affine in its inputs"):
        kl.invert(hidden, y, R.L1(), fidelity=I.KullbackLeibler())
    with pytest.raises(ValueError, match="`fidelity` must be one of"):
        kl.invert(hidden, y, R.L1(), fidelity="mse")
    with pytest.raises(ValueError, match="map of the shape of y"):
        kl.invert(hidden, y, R.L1(), noise_std=np.ones((3, 3)))


def test_noise_behind_an_activation_is_compared_there():
    """It does better than the convex fidelity, whose data have to be projected."""
    rng = np.random.default_rng(0)
    layer = layers.Dense(60, "relu")
    layer.build((None, 8))
    layer.set_weights([rng.normal(size=(8, 60)) / 8**0.5, np.zeros(60)])
    u = np.repeat(rng.normal(size=(1, 2)), 4, axis=1).astype("float32")
    y = number(layer(u)) + 0.3 * rng.normal(size=(1, 60))  # some of it below zero
    keywords = {"noise_std": 0.3, "verbose": 0}
    found = kl.invert(layer, y, R.TotalVariation(), **keywords)
    assert found.converged and np.isnan(found.certificate[0])
    assert found.solver == "lifted, then nested" and found.gap[0] == 0
    fixed = I.Inverter(layer, R.TotalVariation())
    convex = fixed(y, out_of_range="project", **keywords)
    assert np.isfinite(convex.certificate[0])
    assert np.linalg.norm(found.x - u) < 0.7 * np.linalg.norm(convex.x - u)


def test_a_mask_for_each_image():
    rng = np.random.default_rng(0)
    mask = (rng.random((2, 12, 12, 1)) > 0.3).astype("float32")
    image = np.zeros((2, 12, 12, 1), "float32")
    image[:, 3:9, 4:10] = 1.0
    both = kl.invert(
        kl.imaging.Mask(mask),
        mask * image,
        R.TotalVariation(),
        alpha=1e-2,
        input_shape=(12, 12, 1),
        verbose=0,
    )
    alone = kl.invert(
        kl.imaging.Mask(mask[1]),
        (mask * image)[1:],
        R.TotalVariation(),
        alpha=1e-2,
        input_shape=(12, 12, 1),
        verbose=0,
    )
    assert np.abs(both.x - image).mean() < 0.05
    assert both.objective[1] == pytest.approx(alone.objective[0], rel=1e-2)


def test_variation_of_other_layouts():
    x = np.random.default_rng(0).random((2, 3, 5, 6)).astype("float32")
    usual = number(R.TotalVariation()(np.moveaxis(x, 1, -1)))
    keras.config.set_image_data_format("channels_first")
    try:
        np.testing.assert_allclose(number(R.TotalVariation()(x)), usual, rtol=1e-5)
    finally:
        keras.config.set_image_data_format("channels_last")
    by_axes = R.TotalVariation(axes=(2, 3))
    np.testing.assert_allclose(number(by_axes(x)), usual, rtol=1e-5)
    assert by_axes.operator_bound((3, 5, 6)) == 8.0
    plane, image = x[:, 0], x[:, 0, :, :, None]
    np.testing.assert_allclose(
        number(R.TotalVariation()(plane)), number(R.TotalVariation()(image)), rtol=1e-6
    )
    signal = R.TotalVariation(axes=(1,))(plane)
    np.testing.assert_allclose(
        number(signal), np.abs(np.diff(plane, axis=1)).sum((1, 2)), rtol=1e-5
    )
    with pytest.raises(ValueError, match="must be axes of the inputs"):
        R.TotalVariation(axes=(4,))(x)


def averaged_network():
    network = kl.models.proximal_network((None, None, 1), 6, 5, scheme="averaged")
    rng = np.random.default_rng(3)
    for weight in network.trainable_variables:  # as far from the start as training
        weight.assign(weight.value + 0.3 * rng.normal(size=weight.shape))
    for layer in network.layers:
        if hasattr(layer, "direction"):
            for _ in range(40):
                layer(np.zeros((1, 8, 8, 1), "float32"), scale=1.0, training=True)
    return network


def test_the_averaged_network_is_firmly_nonexpansive():
    network, rng = averaged_network(), np.random.default_rng(0)
    for size in (0.01, 0.3, 3.0):
        a = rng.normal(size=(8, 16, 16, 1)).astype("float32")
        b = a + size * rng.normal(size=a.shape).astype("float32")
        dz = (a - b).reshape(8, -1)
        dx = number(network(a) - network(b)).reshape(8, -1)
        assert ((dx**2).sum(1) <= (dz * dx).sum(1) * (1 + 1e-4)).all()
    prior = R.Denoiser(network)
    assert (
        number(prior.expansion(rng.random((2, 16, 16, 1)).astype("float32"))).max()
        <= 1.001
    )


def test_plug_and_play_converges_to_its_fixed_point(monkeypatch):
    bounds, start = [], Steps.start

    def recorded(self, instance, u):
        bounds.append(number(instance.bound).item())
        return start(self, instance, u)

    monkeypatch.setattr(Steps, "start", recorded)
    network, blur = averaged_network(), kl.imaging.GaussianBlur(1.0)
    image = np.zeros((1, 16, 16, 1), "float32")
    image[0, 4:11, 3:12] = 1.0
    y = number(blur(image)).astype("float32")
    inverter = I.Inverter(blur, R.Denoiser(network), input_shape=(16, 16, 1))
    result = inverter(y, 3000, tolerance=1e-4, check_every=10, verbose=0)
    assert result.converged and np.isnan(result.certificate).all()
    residual = result.history["residual"].ravel()
    assert (residual[1:] <= residual[:-1] * 1.02).all()
    step = number(blur.adjoint(number(blur(result.x)) - y)) / bounds[0]
    again = number(network((result.x - step).astype("float32")))
    np.testing.assert_allclose(again, result.x, atol=2e-3)
    # The network's weights are followed, not baked in.
    for weight in network.trainable_variables:
        weight.assign(0.5 * weight.value)
    assert np.abs(inverter(y, 200, tolerance=0, verbose=0).x - result.x).max() > 1e-3
    config = keras.saving.serialize_keras_object(R.Denoiser(blur))
    again = keras.saving.deserialize_keras_object(config)
    np.testing.assert_allclose(number(again.prox(y, 1.0)), number(blur(y)))
    with pytest.raises(ValueError, match="has no weight"):
        2.0 * R.Denoiser(blur)


class Wrong(R.Regularizer):
    """Its proximal map is not that of its value."""

    def value(self, v):
        return ops.zeros((v.shape[0],), v.dtype)

    def prox(self, v, step):
        return 0.5 * v


def test_a_prox_that_is_not_of_its_value_is_told():
    layer, kernel = dense()
    y = np.ones((1, 6), "float32")
    with pytest.warns(UserWarning, match="does not minimise its `value`"):
        result = kl.invert(layer, y, Wrong(), verbose=0, tolerance=1e-5)
    assert result.converged
