"""Configs, bad arguments, learnable thresholds, axes: the Keras side."""

import json

import keras
import numpy as np
import pytest
from cases import CASES, points
from compiled import array, grad, tensor

import keras_lifted as kl

L = kl.layers
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)

ARGUMENTS = {
    L.Arctan: {},
    L.BentIdentity: {},
    L.BoxProjection: {"lower": [-1.0, 0.0], "upper": float("inf")},
    L.DualSoftThreshold: {"threshold": 0.3, "learnable": True},
    L.ELU: {"alpha": 0.5},
    L.GroupSoftThreshold: {"threshold": 0.3, "axis": (1, 2)},
    L.HardTanh: {"min_value": -2.0, "max_value": 0.5},
    L.ISRLU: {},
    L.ISRU: {},
    L.Identity: {},
    L.L2BallProjection: {"radius": 2.0, "axis": None},
    L.LeakyReLU: {"negative_slope": 0.3},
    L.ReLU: {},
    L.Sigmoid: {},
    L.SignedLog: {},
    L.SimplexProjection: {"axis": 1, "radius": 2.0},
    L.SoftThreshold: {"threshold": 0.3, "learnable": True},
    L.Softmax: {"axis": 1},
    L.Softplus: {},
    L.Softsign: {},
    L.Tanh: {},
}


def test_every_class_is_listed():
    found = {
        each
        for each in vars(L).values()
        if isinstance(each, type) and issubclass(each, L.ProximalActivation)
    }
    assert found == {L.ProximalActivation, *ARGUMENTS}


@pytest.mark.parametrize("cls", ARGUMENTS, ids=lambda cls: cls.__name__)
def test_serialization(cls):
    activation = cls(**ARGUMENTS[cls], name="mine")
    config = keras.saving.serialize_keras_object(activation)
    assert config["registered_name"] == f"keras_lifted>{cls.__name__}"
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(again) is cls and again.name == "mine"
    assert json.dumps(again.get_config()) == json.dumps(activation.get_config())
    z = tensor(points(6).reshape(3, 4, 2))
    np.testing.assert_array_equal(array(activation(z)), array(again(z)))


class Scaled(L.ProximalActivation):
    """`σ(z) = a z` by a user, whose argument has an attribute of another name."""

    def __init__(self, a, **kwargs):
        super().__init__(**kwargs)
        self._slope = a

    def sigma(self, z, *parameters):
        return self._slope * z

    conjugate_terms = potential_terms = scaled_prox = sigma


class Written(Scaled):
    """The same, with a config of its own."""

    def get_config(self):
        return {**super().get_config(), "a": self._slope}


@pytest.mark.parametrize("cls", [Scaled, Written])
def test_a_subclass_is_saved_as_any_layer(cls):
    config = cls(a=0.5, name="mine").get_config()
    assert config["a"] == 0.5
    assert cls.from_config(config).name == "mine"


@every
def test_inside_a_model(case, tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), case.make()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = points(5, 3).astype("float32")
    np.testing.assert_array_equal(array(model(x)), array(again(x)))
    assert tuple(model.output_shape) == (None, 4)


BAD = [
    (L.LeakyReLU, {"negative_slope": 0.0}, r"`negative_slope` .* in \(0, 1\]"),
    (L.LeakyReLU, {"negative_slope": 1.5}, r"Received: negative_slope=1\.5"),
    (L.LeakyReLU, {"negative_slope": "0.1"}, r"Received: negative_slope='0\.1'"),
    (L.ELU, {"alpha": 1.5}, r"`alpha` of ELU .* in \(0, 1\].*Received: alpha=1\.5"),
    (L.ELU, {"alpha": float("nan")}, "Received: alpha=nan"),
    (L.HardTanh, {"min_value": 2.0}, r"`max_value` .* > min_value=2\.0.*exchange"),
    (L.HardTanh, {"min_value": -np.inf}, "`min_value` .* finite.*Received"),
    (L.SoftThreshold, {"threshold": -1}, "`threshold` .* >= 0.*Received: threshold=-1"),
    (L.SoftThreshold, {"threshold": True}, "Received: threshold=True"),
    (L.SoftThreshold, {"learnable": 1}, "`learnable` .* bool.*Received: learnable=1"),
    (L.DualSoftThreshold, {"threshold": -1}, "`threshold` .* >= 0.*threshold=-1"),
    (L.GroupSoftThreshold, {"threshold": -1}, "`threshold` .* >= 0"),
    (L.GroupSoftThreshold, {"axis": 0}, "`axis` .* other than 0.*Received: axis=0"),
    (L.GroupSoftThreshold, {"axis": (1, "c")}, "`axis` .*Received: axis='c'"),
    (L.Softmax, {"axis": 0}, "`axis` of Softmax .* batch"),
    (L.Softmax, {"axis": None}, "`axis` of Softmax .*Received: axis=None"),
    (L.SimplexProjection, {"axis": 1.5}, "`axis` .*Received: axis=1.5"),
    (L.SimplexProjection, {"radius": 0}, "`radius` .* > 0.*Received: radius=0"),
    (L.L2BallProjection, {"radius": -1}, "`radius` of L2BallProjection .* > 0"),
    (L.L2BallProjection, {"axis": 0}, "`axis` of L2BallProjection"),
    (L.BoxProjection, {"lower": 2.0}, r"lower <= upper.*Received: lower=2\.0"),
    (L.BoxProjection, {"lower": "low"}, "`lower` .*Received: lower='low'"),
    (L.BoxProjection, {"upper": np.nan}, "pass -inf or inf.*Received: .*upper=nan"),
    (L.BoxProjection, {"lower": [0, 0], "upper": [1, 1, 1]}, "broadcast"),
]


@pytest.mark.parametrize(("cls", "arguments", "message"), BAD)
def test_bad_arguments(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize("step", [0, -1.0, float("nan"), float("inf")])
def test_bad_step(step):
    with pytest.raises(ValueError, match="`step` .* positive.*Received: step="):
        L.ReLU().prox(tensor([[1.0]]), step)


def test_learnable_threshold():
    activation = L.SoftThreshold(0.5, learnable=True)
    (weight,) = activation.trainable_weights
    assert weight.shape == ()
    assert float(weight.constraint(tensor(-1.0))) == 0.0
    z = tensor([[2.0, -1.0, 0.1]])

    def conjugate(z, threshold):
        return activation.conjugate_terms(z, threshold)

    gradients = grad(conjugate, z, tensor(0.5))
    np.testing.assert_allclose(gradients[0], [[1.5, -0.5, 0.0]])
    np.testing.assert_allclose(gradients[1], -2.0)  # −Σ max(|z| − λ, 0)
    gradients = grad(activation.sigma, z, tensor(0.5))
    np.testing.assert_allclose(gradients[1], 0.0)  # −Σ sign σ = −1 + 1
    weight.assign(1.5)
    np.testing.assert_allclose(array(activation(z)), [[0.5, 0, 0]])
    np.testing.assert_allclose(array(activation.conjugate(z)), [0.125])
    np.testing.assert_allclose(array(activation.potential(z)), [1.5 * 3.1])
    np.testing.assert_allclose(array(activation.prox(z, 0.5)), [[1.25, -0.25, 0]])


def test_learned_threshold_is_saved(tmp_path):
    model = keras.Sequential([keras.Input((2,)), L.SoftThreshold(0.1, learnable=True)])
    model.layers[0].threshold_weight.assign(0.7)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert float(again.layers[0].threshold_weight) == pytest.approx(0.7)


def test_keras_trains_the_threshold():
    model = keras.Sequential([keras.Input((2,)), L.SoftThreshold(0.1, learnable=True)])
    model.compile("sgd", "mse", jit_compile=True)
    x = np.ones((8, 2), "float32")
    model.fit(x, 2 * x, epochs=20, batch_size=8, verbose=0)
    assert float(model.layers[0].threshold_weight) == 0.0  # the constraint holds


def test_whole_sample_groups():
    z = points(3, 8)
    for axis in (None, (1, 2, 3), (1, -2, -1)):
        activation = L.L2BallProjection(1.0, axis=axis)
        got = array(activation(tensor(z.reshape(3, 2, 2, 2)))).reshape(3, 8)
        norm = np.linalg.norm(z, axis=-1, keepdims=True)
        np.testing.assert_allclose(got, z / np.maximum(norm, 1), rtol=1e-6)


@pytest.mark.parametrize("name", ["softmax", "simplex_projection"])
def test_other_axis(name):
    z = points(6, 5).reshape(2, 3, 5)
    make = type(CASES[name].make())
    by_one, by_last = make(axis=1), make()
    swapped = np.swapaxes(z, 1, 2)
    for call in ("conjugate", "sigma"):
        one = array(getattr(by_one, call)(tensor(z)))
        last = array(getattr(by_last, call)(tensor(swapped)))
        last = last if call == "conjugate" else np.swapaxes(last, 1, 2)
        np.testing.assert_allclose(one, last, rtol=1e-5, atol=1e-6)


def test_simplex_radius():
    got = array(L.SimplexProjection(radius=3.0)(tensor([[2.0, 1.5, -9.0]])))
    np.testing.assert_allclose(got, [[1.75, 1.25, 0.0]])


def test_box_bounds_broadcast():
    box = L.BoxProjection(lower=[0.0, -np.inf], upper=[1.0, 5.0])
    z = tensor([[-2.0, -2.0], [2.0, 9.0]])
    np.testing.assert_array_equal(array(box(z)), [[0, -2], [1, 5]])
    np.testing.assert_array_equal(array(box.potential(z)), [np.inf, np.inf])


def test_elementwise_step():
    v, step = tensor([[3.0, -3.0]]), tensor([[0.5, 2.0]])
    got = array(L.SoftThreshold(1.0).prox(v, step))
    np.testing.assert_allclose(got, [[2.5, -1.0]])
    got = array(L.Tanh().prox(v, step))
    single = [array(L.Tanh().prox(v, s))[0, k] for k, s in enumerate((0.5, 2.0))]
    np.testing.assert_allclose(got[0], single, rtol=1e-6)


def test_mixed_precision_layer():
    layer = L.SoftThreshold(0.5, learnable=True, dtype="mixed_float16")
    out = layer(tensor([[2.0]]))
    assert keras.backend.standardize_dtype(out.dtype) == "float16"
    assert float(array(out)[0, 0]) == 1.5


def test_second_derivative_of_conjugate():
    """Differentiating the gradient gives σ′, once."""
    activation = L.Tanh()

    def slope(z):
        if keras.backend.backend() == "jax":
            import jax

            return jax.grad(lambda z: keras.ops.sum(activation.conjugate(z)))(z)
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(z)
            value = keras.ops.sum(activation.conjugate(z))
        return tape.gradient(value, z)

    (got,) = grad(slope, tensor([[0.3, -1.0]]))
    np.testing.assert_allclose(got, 1 - np.tanh([[0.3, -1.0]]) ** 2, rtol=1e-6)
