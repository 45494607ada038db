"""The builders of `kl.models`: the same network for every class, and it trains."""

import keras
import numpy as np
import pytest
from networks import assert_same
from networks import predict
from networks import values

import keras_lifted as kl

M, BCD = kl.models, kl.optimizers.BlockCoordinateDescent
IMAGE = (8, 8, 2)
ADAM = keras.optimizers.Adam


def proximal(scheme, **kwargs):
    def build(**options):
        options = {"filters": 3, "steps": 3, "scheme": scheme, **kwargs, **options}
        return M.proximal_network(IMAGE, **options)

    return build


# name: (builder, names of the lifted activations)
BUILDERS = {
    "mlp": (
        lambda **k: M.mlp(IMAGE, (6, 5), 3, ["tanh", kl.layers.SoftThreshold], **k),
        ["activation_1", "activation_2"],
    ),
    "conv_net": (
        lambda **k: M.conv_net(IMAGE, (3, 4), 3, (5,), "elu", **k),
        ["activation_1", "activation_2", "activation_3"],
    ),
    "resnet_inside": (
        lambda **k: M.resnet(IMAGE, (3, 4), 3, 1, "inside", **k),
        ["activation_1", "activation_2", "activation_3", "activation_4"],
    ),
    "resnet_outside": (
        lambda **k: M.resnet(IMAGE, (3,), 3, 2, "outside", "soft_threshold", **k),
        ["activation_1", "activation_2", "activation_3"],
    ),
    "unet": (
        lambda **k: M.unet(IMAGE, (3, 4, 5), **k),
        ["down_1", "down_2", "down_3", "up_2", "up_1"],
    ),
    "sparse_autoencoder": (
        lambda **k: M.sparse_autoencoder(IMAGE, 4, (6, 5, 6), 0.05, True, **k),
        ["activation_1", "activation_2", "code", "activation_4"],
    ),
    "forward_backward": (proximal("forward_backward"), ["dual_1", "dual_2", "dual_3"]),
    "accelerated": (
        proximal("accelerated", shared=True),
        ["dual_1", "dual_2", "dual_3"],
    ),
    "chambolle_pock": (proximal("chambolle_pock"), ["dual_1", "dual_2", "dual_3"]),
}
every = pytest.mark.parametrize("name", BUILDERS)


def build(which, **kwargs):
    """The network, with the same weights each time."""
    keras.utils.set_random_seed(0)
    return BUILDERS[which][0](**kwargs)


def samples(model, count=32):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, *IMAGE)).astype("float32")
    if len(model.output_shape) == 4:
        return x, 0.5 * x
    return x, x[:, :3, 0, 0] * x[:, :3, 1, 1]


@every
def test_each_class_is_the_same_network(name):
    plain, lifted = build(name, cls=keras.Model), build(name, name="mine")
    assert isinstance(lifted, kl.LiftedModel) and lifted.name == "mine"
    assert isinstance(plain, keras.Model) and not isinstance(plain, kl.LiftedMixin)
    assert [block.name for block in lifted.lifted_blocks] == BUILDERS[name][1]
    x, _ = samples(plain, 3)
    assert_same(predict(lifted, x), predict(plain, x))


@every
def test_training_and_saving(name, tmp_path):
    model = build(name)
    by_isgm = name == "mlp"
    optimizer = kl.optimizers.ISGM() if by_isgm else BCD(ADAM(0.01))
    model.compile(optimizer, "mse", jit_compile=True)
    x, y = samples(model)
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["lifted_gap"]) >= 0 and len(model.lifted_blocks) > 1
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert_same(values(again.weights), values(model.weights))
    assert_same(predict(again, x[:3]), predict(model, x[:3]))
