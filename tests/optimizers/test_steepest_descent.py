"""Steps of SteepestDescent, against NumPy and beside Keras's own settings."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from small import (
    JAX,
    KINDS,
    QUICK,
    RATE,
    X,
    Y,
    assert_same,
    descent,
    fit,
    gradients,
    network,
    trained,
    weights,
)

import keras_lifted as kl
from keras_lifted import geometries
from keras_lifted.optimizers.kernels import find_groups
from keras_lifted.optimizers.lengths import FIRST, DecreaseBound

Optimizers = keras.optimizers
GEOMETRIES = tuple(geometries.NAMES)


def mse(factor=1.0, shift=0.0):
    def loss(y, predicted):
        return factor * ops.mean(ops.square(y - predicted), axis=-1) + shift

    return loss


# -- the first step ----------------------------------------------------------------


def steps_of_unit_rate(model, slopes, geometry):
    """Directions of the geometry whose length is that of NumPy, and `Σ ⟨G, D⟩`."""
    variables = model.trainable_variables
    values = {i: ops.convert_to_tensor(slopes[v.path]) for i, v in enumerate(variables)}
    module, steps, predicted = geometries.get(geometry), {}, 0.0
    for group in find_groups(variables):
        layout, gradient = group.layout, group.join(values, "float32")
        zeros = {key: ops.zeros(shape) for key, shape in module.init(layout).items()}
        (state,) = module.refresh([layout], [zeros], [gradient], 0.0)
        d = ops.convert_to_numpy(module.direction(layout, state, gradient))
        n, m = layout.sites * layout.inputs, layout.outputs
        omega = m / n if m > n else min(n / m, 6.0)
        norm = np.sqrt(np.square(d).sum(axis=(1, 2, 3), keepdims=True))
        d = d * np.sqrt(omega * min(n, m)) / norm
        predicted += float((ops.convert_to_numpy(gradient) * d).sum())
        parts = group.split(ops.convert_to_tensor(d)).items()
        steps |= {variables[place].path: ops.convert_to_numpy(p) for place, p in parts}
    return steps, predicted


@pytest.mark.parametrize("most", [1e-3, 1e5])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_first_step(kind, geometry, most):
    model, slopes = network(kind), gradients(kind)
    steps, predicted = steps_of_unit_rate(model, slopes, geometry)
    start = weights(model)
    model.compile(
        descent(geometry=geometry, max_relative_decrease=most), "mse", **QUICK
    )
    first = model.predict(X[:8], verbose=0)
    fit(model)
    part = FIRST
    if not JAX or kind is kl.LiftedModel:  # there the loss is seen
        loss = np.mean(np.square(first - Y[:8]))
        part = min(FIRST, most * loss / (RATE * predicted))
    end = weights(model)
    assert set(steps) == {path for path in end if "norm" not in path}
    for path, step in steps.items():
        expected = start[path] - part * RATE * step.reshape(start[path].shape)
        np.testing.assert_allclose(end[path], expected, atol=2e-5)


def decrease_bound():
    return DecreaseBound.build(
        lambda name, shape: keras.Variable(np.zeros(shape, "float32"))
    )


def test_a_small_loss_may_fall_by_a_quarter_of_the_fraction():
    bound = decrease_bound()
    for loss in [100.0, *[1.0] * 200]:
        bound.see(ops.convert_to_tensor(loss))
        length, updates = bound.length(ops.convert_to_tensor(1e4), 0.1, 0.2)
        if loss == 100.0:
            assert float(length) == pytest.approx(0.2 * loss / 1e4, rel=1e-4)
        for variable, value in updates:
            variable.assign(value)
    assert float(length) == pytest.approx(0.2 * (0.25 + 0.75 / 100) / 1e4, rel=1e-4)


def test_a_loss_whose_square_is_not_finite_bounds_nothing():
    bound = decrease_bound()
    bound.see(ops.convert_to_tensor(1e30))
    length, _ = bound.length(ops.convert_to_tensor(1e4), 0.1, 0.2)
    assert float(length) == pytest.approx(0.1 * FIRST)


# -- scales of the loss -------------------------------------------------------------


@pytest.mark.parametrize("factor", [1e-3, 1e3])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_scale_of_the_loss_does_not_matter(kind, geometry, factor):
    # An Adam of epsilon 1e-7 sees it in the gains.
    optimizers = [
        descent(geometry=geometry, fallback=Optimizers.SGD(0.0)) for _ in range(2)
    ]
    one, other = (
        trained(optimizer, kind, steps=4, loss=loss)
        for optimizer, loss in zip(optimizers, (mse(), mse(factor)))
    )
    assert_same(one, other, atol=1e-5 if geometry == "frobenius" else 1e-3)


def blobs():
    rng = np.random.default_rng(0)
    y = np.arange(300) % 10
    x = rng.normal(size=(10, 20))[y] + 0.5 * rng.normal(size=(300, 20))
    return x.astype("float32"), y


def accuracy(kind, shift):
    keras.utils.set_random_seed(0)
    x, y = blobs()
    inputs = keras.Input((20,))
    h = layers.Dense(16, "relu")(inputs)
    model = kind(inputs, layers.Dense(10)(h))

    def loss(y, logits):
        sparse = keras.losses.sparse_categorical_crossentropy
        return sparse(y, logits, from_logits=True) + shift

    model.compile(kl.optimizers.SteepestDescent(), loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=30, epochs=12, verbose=0)
    return model.evaluate(x, y, verbose=0, return_dict=True)["accuracy"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_added_to_the_loss(kind):
    # With -2 the loss passes through zero, with -100 it is negative.
    usual = accuracy(kind, 0.0)
    assert usual > 0.9
    for shift in (-2.0, -100.0):
        assert accuracy(kind, shift) > usual - 0.05, shift


# -- the fallback ------------------------------------------------------------------

FALLBACKS = {
    "nadam": lambda: Optimizers.Nadam(0.01),
    "decay": lambda: Optimizers.AdamW(0.01, weight_decay=0.5),
    "clipnorm": lambda: Optimizers.SGD(0.1, clipnorm=1e-3),
    "momentum": lambda: Optimizers.SGD(0.1, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FALLBACKS)
def test_the_fallback_keeps_its_settings(kind, name):
    start = weights(network(kind))
    expected = weights(trained(FALLBACKS[name](), kind))
    found = weights(trained(descent(fallback=FALLBACKS[name]()), kind))
    still = weights(trained(descent(fallback=Optimizers.SGD(0.0)), kind))
    for path in start:
        if "norm" in path:
            np.testing.assert_allclose(found[path], expected[path], atol=1e-6)
            assert np.abs(found[path] - start[path]).max() > 1e-5
        else:
            np.testing.assert_array_equal(found[path], still[path])


def test_fallbacks_by_name_and_config():
    named = descent(fallback="nadam")
    assert isinstance(named.fallback, Optimizers.Nadam)
    config = keras.saving.serialize_keras_object(Optimizers.SGD(0.25))
    assert float(descent(fallback=config).fallback.learning_rate) == 0.25


def test_the_rate_of_a_fallback_by_name_decays_along():
    named = descent(decay=4, fallback="sgd")
    given = descent(decay=4, fallback=Optimizers.SGD(0.01))
    for optimizer in (named, given):
        trained(optimizer, steps=2)
    left = 1 - 0.5**1.5
    assert abs(float(named.fallback.learning_rate) - 0.01 * left) < 1e-7
    assert abs(float(given.fallback.learning_rate) - 0.01) < 1e-7


def test_a_warning_where_the_fallback_moves_many_weights():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Embedding(50, 6), layers.Flatten(), layers.Dense(3)]
    )
    optimizer = kl.optimizers.SteepestDescent()
    with pytest.warns(UserWarning, match="Adam moves .*embedding.*chosen_geometries"):
        optimizer.build(model.trainable_variables)


def test_chosen_geometries():
    optimizer = kl.optimizers.SteepestDescent(geometry="spectral", fallback="nadam")
    optimizer.build(network().trainable_variables)
    assert optimizer.chosen_geometries() == {
        "hidden/kernel": "spectral",
        "hidden/bias": "spectral",
        "norm/gamma": "Nadam",
        "norm/beta": "Nadam",
        "out/kernel": "spectral",
        "out/bias": "spectral",
    }


def test_a_model_without_kernels():
    with pytest.warns(UserWarning, match="100%"):
        model = keras.Sequential([keras.Input((4,)), layers.LayerNormalization()])
        model.compile(kl.optimizers.SteepestDescent(), "mse", **QUICK)
        model.fit(X[:, :4], X[:, 1:5], verbose=0)
    assert np.isfinite(model.get_weights()[0]).all()


# -- errors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"geometry": "auto"}, "geometry"),
        ({"momentum": 1.0}, "momentum"),
        ({"momentum": -0.1}, "momentum"),
        ({"decay": "epoch"}, "decay"),
        ({"decay": 0}, "decay"),
        ({"decay": True}, "decay"),
        ({"max_relative_decrease": 0.0}, "max_relative_decrease"),
        ({"refresh_every": 0}, "refresh_every"),
        ({"refresh_every": 1.5}, "refresh_every"),
        ({"fallback": "no such optimizer"}, "no such optimizer"),
        ({"weight_decays": 0.1}, "weight_decays"),
    ],
    ids=str,
)
def test_errors(wrong, match):
    with pytest.raises((ValueError, TypeError), match=match) as error:
        kl.optimizers.SteepestDescent(**wrong)
    if match != "no such optimizer":
        assert len(str(error.value)) <= 600
