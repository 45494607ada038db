"""The builders of `kl.models`: the same network for every class, and it trains."""

import keras
import numpy as np
import pytest
from mistakes import JAX, expect_error
from networks import QUICK, assert_same, predict, values

import keras_lifted as kl

M, BCD = kl.models, kl.optimizers.BlockCoordinateDescent
IMAGE = (8, 8, 2)
ADAM, PROXIMAL = keras.optimizers.Adam, kl.updates.ProximalGradient


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
    "transformer_encoder": (
        lambda **k: M.transformer_encoder((8, 16), 3, 2, 6, 2, **k),
        ["activation_1", "activation_2"],
    ),
}
every = pytest.mark.parametrize("name", BUILDERS)
# Slow on JAX, where each operation compiles, and nothing in it is the backend's.
keras_only = pytest.mark.skipif(JAX, reason="the same on every backend")
OPTIMIZERS = {
    "sweep": lambda: BCD(ADAM(0.01)),
    "proximal": lambda: BCD(ADAM(0.01), lifted_update=PROXIMAL(steps=2)),
}
# The jobs that quick tests compile; slow ones compile every builder and optimizer.
COMPILED = {("mlp", "proximal"), ("accelerated", "sweep")}
JOBS = [
    pytest.param(
        name, optimizer, marks=[] if (name, optimizer) in COMPILED else pytest.mark.slow
    )
    for name in BUILDERS
    for optimizer in OPTIMIZERS
]


def build(which, **kwargs):
    """The network, with the same weights each time."""
    keras.utils.set_random_seed(0)
    return BUILDERS[which][0](**kwargs)


def samples(model, count=32):
    rng = np.random.default_rng(0)
    shape = (count, *model.input_shape[1:])
    x = rng.normal(size=shape).astype("float32")
    if len(model.output_shape) == 4:
        return x, 0.5 * x
    flat = x.reshape(count, -1)
    return x, flat[:, :3] * flat[:, 3:6]


@keras_only
@every
def test_each_class_is_the_same_network(name):
    plain, lifted = build(name, cls=keras.Model), build(name, name="mine")
    assert isinstance(lifted, kl.LiftedModel) and lifted.name == "mine"
    assert isinstance(plain, keras.Model) and not isinstance(plain, kl.LiftedMixin)
    assert [block.name for block in lifted.lifted_blocks] == BUILDERS[name][1]
    x, _ = samples(plain, 3)
    assert_same(predict(lifted, x), predict(plain, x))
    step = {"optimizer": "sgd", "loss": "mse", **QUICK}
    lifted.compile(**step)
    before = values(lifted.trainable_weights)
    assert np.isfinite(lifted.train_on_batch(*samples(plain, 4))).all()
    after = values(lifted.trainable_weights)
    moved = map(np.any, map(np.not_equal, after, before))
    still = [w.path for w, m in zip(lifted.trainable_weights, moved) if not m]
    assert not still


@pytest.mark.parametrize("name, optimizer", JOBS)
def test_training_and_saving(name, optimizer, tmp_path):
    model = build(name)
    metrics = [kl.metrics.LiftedGap()]
    model.compile(OPTIMIZERS[optimizer](), "mse", metrics=metrics, jit_compile=True)
    x, y = samples(model)
    history = model.fit(x, y, batch_size=16, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert min(history["lifted_gap"]) >= 0
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert type(again) is type(model)
    assert_same(values(again.weights), values(model.weights))
    assert_same(predict(again, x[:3]), predict(model, x[:3]))


@keras_only
def test_an_activation_is_a_pattern():
    pattern = kl.layers.SoftThreshold(0.2, learnable=True)
    model = M.mlp((4,), (3, 3), 1, pattern)
    thresholds = [w for w in model.trainable_weights if w.name == "threshold"]
    assert len(thresholds) == 2 and pattern not in model.layers


@keras_only
def test_a_stage_and_a_level_halve_the_image():
    deep = M.unet((None, None, 1), (2, 3, 4), outputs=2, cls=keras.Model)
    assert deep.output_shape == (None, None, None, 2)
    assert deep.get_layer("conv_down_3").output.shape == (None, None, None, 4)
    stages = M.resnet((9, 9, 1), (2, 3), 5, 1, cls=keras.Model)
    assert stages.get_layer("activation_3").output.shape == (None, 5, 5, 3)


@keras_only
def test_output_activation_of_the_autoencoder():
    model = M.sparse_autoencoder((4,), 2, (3, 3, 3), output_activation="sigmoid")
    assert [block.name for block in model.lifted_blocks][-2] == "activation_4"
    assert model.get_layer("activation_5").output.shape == (None, 4)


SEQUENTIAL = keras.Sequential
# (what the user does, what the message says of expected and received)
MISTAKES = [
    (lambda: M.mlp(784, (4,), 1), r"\(features,\).*Received: input_shape=784"),
    (lambda: M.mlp((0,), (4,), 1), "positive integers.*input_shape=\\(0,\\)"),
    (lambda: M.mlp((None,), (4,), 1), "input_shape=\\(None,\\)"),
    (lambda: M.mlp((4,), (), 1), "`units` .* at least 1 widths.*units=\\(\\)"),
    (lambda: M.mlp((4,), 8, 1), "sequence of .*Received: units=8"),
    (lambda: M.mlp((4,), (8, 0), 1), "`units`.*at least 1.*Received: units=0"),
    (lambda: M.mlp((4,), (8,), 2.5), "`outputs`.*integer.*outputs=2.5"),
    (lambda: M.mlp((4,), (8,), 1, "gelu"), "gelu"),
    (lambda: M.mlp((4,), (8,), 1, ["relu"] * 2), "one for each of.*Received: 2 of"),
    (lambda: M.mlp((4,), (8,), 1, cls=SEQUENTIAL), "`cls`.*LiftedModel.*Received"),
    (lambda: M.mlp((4,), (8,), 1, cls="lifted"), "`cls`.*Received: cls='lifted'"),
    (lambda: M.conv_net((8, 8), (4,), 1), r"\(height, width, channels\)"),
    (lambda: M.conv_net((8, 8, 1), (4,), 1, kernel_size=4), "odd.*kernel_size=4"),
    (lambda: M.conv_net((None, 8, 1), (4,), 1), "input_shape=\\(None, 8, 1\\)"),
    (lambda: M.conv_net((8, 8, 1), (4,), 1, strides=0), "`strides`.*strides=0"),
    (lambda: M.resnet((8, 8, 1), (4,), 1, skip="both"), "'inside', 'outside'.*'both'"),
    (lambda: M.resnet((8, 8, 1), (4,), 1, blocks=0), "blocks in each.*blocks=0"),
    (lambda: M.unet((8, 8, 1), (4,)), "`filters` .* at least 2 widths"),
    (lambda: M.unet((8, 6, 1), (4, 4, 4)), "width must be a multiple of 4; pad"),
    (lambda: M.sparse_autoencoder((4,), 2, (3,) * 4), "three of them.*units="),
    (lambda: M.sparse_autoencoder((4,), threshold=-1), "threshold=-1"),
    (lambda: M.sparse_autoencoder((4,), output_activation="gelu"), "gelu"),
    (lambda: M.proximal_network(IMAGE, scheme="admm"), "'accelerated'.*'admm'"),
    (lambda: M.proximal_network(IMAGE, steps=0), "`steps`.*Received: steps=0"),
    (lambda: M.proximal_network(IMAGE, threshold="1"), "threshold='1'"),
    (lambda: M.proximal_network(IMAGE, shared=1), "`shared` .*bool.*shared=1"),
    (lambda: M.proximal_network((8, 8, None)), "input_shape=\\(8, 8, None\\)"),
    (lambda: M.transformer_encoder((8,), 3), r"\(tokens, features\).*\(8,\)"),
    (lambda: M.transformer_encoder((8, 4), 3, width=6), "heads.*width=8.*heads=4"),
    (lambda: M.transformer_encoder((8, 4), 3, units=0), "`units`.*units=0"),
    (lambda: M.transformer_encoder((8, 4), 3, activation="gelu"), "gelu"),
]


@keras_only
@pytest.mark.parametrize("mistake, message", MISTAKES)
def test_mistakes(mistake, message):
    expect_error(mistake, ValueError, message)
