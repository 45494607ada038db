"""`get`, `serialize` and `deserialize` of every module, as in Keras."""

import keras
import pytest

import keras_lifted as kl

EACH = {
    kl.layers: kl.layers.SoftThreshold(0.3),
    kl.optimizers: kl.optimizers.SteepestDescent(0.05, geometry="spectral"),
    kl.penalties: kl.penalties.Fenchel(tolerance=0.03),
    kl.regularizers: kl.regularizers.TotalVariation(0.2, isotropic=False),
    kl.updates: kl.updates.ProximalGradient(7, acceleration="adam"),
}


@pytest.mark.parametrize("module", EACH, ids=lambda module: module.__name__)
def test_configs(module):
    instance = EACH[module]
    config = module.serialize(instance)
    again = module.deserialize(config)
    assert type(again) is type(instance)
    assert again.get_config() == instance.get_config()
    if module is not kl.optimizers:
        assert module.get(config).get_config() == instance.get_config()
        assert module.get(instance) is instance


@pytest.mark.parametrize(
    ("module", "kind", "names"),
    [
        (kl.layers, kl.layers.SoftThreshold, ["soft_threshold", "SoftThreshold"]),
        (kl.penalties, kl.penalties.Quadratic, ["quadratic", "Quadratic", "mac"]),
        (kl.regularizers, kl.regularizers.L1, ["l1", "L1"]),
        (kl.updates, kl.updates.Mirror, ["mirror", "Mirror"]),
        (
            kl.updates,
            kl.updates.ProximalGradient,
            ["proximal_gradient", "ProximalGradient"],
        ),
    ],
)
def test_names(module, kind, names):
    for identifier in names:
        assert type(module.get(identifier)) is kind


def test_a_class_of_ones_own_is_named():
    class Mine(kl.penalties.Bregman):
        pass

    custom = {"Mine": Mine}
    with keras.saving.custom_object_scope(custom):
        config = kl.penalties.serialize(Mine(weight=3.0))
    assert kl.penalties.deserialize(config, custom).weight == 3.0


@pytest.mark.parametrize(
    "module", [kl.layers, kl.penalties, kl.regularizers, kl.updates]
)
@pytest.mark.parametrize("wrong", ["nothing", 3, keras.layers.Dense(2), object])
def test_what_is_none_of_them(module, wrong):
    with pytest.raises(ValueError, match="Received: "):
        module.get(wrong)


def test_invert_takes_a_name():
    network = keras.Sequential([keras.Input((3,)), kl.layers.Identity()])
    settings = {"max_steps": 20, "verbose": 0}
    named = kl.invert(network, [[3.0, 2.0, 0.0]], "l1", **settings)
    made = kl.invert(network, [[3.0, 2.0, 0.0]], kl.regularizers.L1(), **settings)
    assert (keras.ops.convert_to_numpy(named.x == made.x)).all()
