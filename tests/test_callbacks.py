"""LiftedTensorBoard, read back with TensorBoard's own reader."""

import json
import sys

import keras
import numpy as np
import pytest

import keras_lifted as kl

pytest.importorskip("tensorboard")

BLOCKS = ["first", "second"]
BATCHES = 4


def network(penalty=None, update="sweep", model=kl.LiftedSequential):
    net = model(
        [
            keras.Input((5,)),
            keras.layers.Dense(7, "relu", name="first"),
            keras.layers.Dense(6, "tanh", name="second"),
            keras.layers.Dense(1),
        ]
    )
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.SGD(0.01), penalty=penalty, lifted_update=update
    )
    plain = model is keras.Sequential
    net.compile(optimizer="sgd" if plain else optimizer, loss="mse", jit_compile=True)
    return net


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8 * BATCHES, 5)).astype("float32")
    return x, x[:, :1] - x[:, 1:2]


def fit(net, *callbacks, epochs=1):
    x, y = data()
    net.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[*callbacks])


def read(folder):
    """`{tag: [(step, array)]}` of all event files of a folder."""
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.util import tensor_util

    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in event_file_loader.EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                array = tensor_util.make_ndarray(value.tensor)
                found.setdefault(value.tag, []).append((event.step, array))
    return found


def state(net):
    lifted = kl.optimizers.lifted_part(net.optimizer).lifted
    variables = {k: v for k, v in vars(lifted).items() if k != "first"}
    return {k: keras.ops.convert_to_numpy(v) for k, v in variables.items()}


def test_epochs_hold_the_state_of_every_block(tmp_path):
    net = network(kl.penalties.Bregman({"second": 5.0}), "proximal_gradient")
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path), epochs=2)
    found = read(tmp_path / "lifted")
    expected = state(net)
    assert np.all(expected["gap"] > 0)
    for i, block in enumerate(BLOCKS):
        gap, size, weight, curvature = (
            expected[key][i] for key in ("gap", "size", "weight", "curvature")
        )
        for name, value in {
            "relative_gap": np.sqrt(gap / size),
            "weighted_penalty": weight * gap,
            "penalty_weight": weight,
            "curvature": curvature,
            "step_size": min(expected["caution"] * weight / curvature, 100.0),
        }.items():
            steps = found[f"{name}/{block}"]
            assert [step for step, _ in steps] == [0, 1]
            np.testing.assert_allclose(steps[-1][1], value, rtol=1e-6)
        buckets = found[f"lifted_variable/{block}"][-1][1]
        assert buckets[:, 2].sum() == 256
        assert buckets[0, 0] == pytest.approx(expected["sample"][i].min())
        assert buckets[-1, 1] == pytest.approx(expected["sample"][i].max())
    assert found["lifted/iterations"][-1][1] == 3
    assert found["lifted/residual"][-1][1] == expected["residual"]


def test_batches_are_counted_over_epochs_and_fits(tmp_path):
    net = network()
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path, update_freq=3), epochs=2)
    gaps = read(tmp_path / "lifted")["relative_gap/first"]
    assert [step for step, _ in gaps] == [3, 6]
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path, update_freq="batch"))
    gaps = read(tmp_path / "lifted")["relative_gap/first"]
    assert [step for step, _ in gaps] == [3, 6, 9, 10, 11, 12]
    gap, size = (state(net)[key][0] for key in ("gap", "size"))
    assert gaps[-1][1] == pytest.approx(np.sqrt(gap / size))  # of this batch


def test_reading_the_state_does_not_change_training(tmp_path):
    plain, watched = network(), network()
    watched.set_weights(plain.get_weights())
    x, y = data()
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    plain.fit(x, y, **options)
    callback = kl.callbacks.LiftedTensorBoard(tmp_path, update_freq=1)
    watched.fit(x, y, callbacks=[callback], **options)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(
    keras.version().startswith("3.8."), reason="it counts the first batch of those"
)
def test_several_batches_in_one_execution(tmp_path):
    net = network()
    net.compile("sgd", "mse", steps_per_execution=2)
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path, update_freq=1))
    steps = [step for step, _ in read(tmp_path / "lifted")["relative_gap/first"]]
    assert steps == [2, 4]


def test_what_was_not_computed_is_not_written(tmp_path):
    net = network(kl.penalties.Bregman({"first": float("inf")}))
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path, histograms=False))
    found = read(tmp_path / "lifted")
    assert set(found) == {
        "keras",  # the layers
        "relative_gap/second",
        "weighted_penalty/second",
        "penalty_weight/second",
    }


def test_beside_keras_tensorboard(tmp_path):
    callbacks = [
        keras.callbacks.TensorBoard(tmp_path, update_freq=2),
        kl.callbacks.LiftedTensorBoard(tmp_path, update_freq=2),
    ]
    fit(network(), *callbacks)
    assert "relative_gap/first" in read(tmp_path / "lifted")
    keras_tags = read(tmp_path / "train")
    assert "epoch_learning_rate" in keras_tags
    assert "relative_gap/first" not in keras_tags


def test_mixed_precision_wraps_the_optimizer(tmp_path):
    net = network()
    inner = kl.optimizers.BlockCoordinateDescent("sgd")
    net.compile(keras.optimizers.LossScaleOptimizer(inner), "mse")
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path))
    assert read(tmp_path / "lifted")["relative_gap/second"]


def test_a_model_that_is_not_lifted_is_refused(tmp_path):
    net = network(model=keras.Sequential)
    with pytest.raises(TypeError, match="LiftedModel.*Received: .*Sequential"):
        fit(net, kl.callbacks.LiftedTensorBoard(tmp_path))


@pytest.mark.parametrize("update_freq", ["step", 0, -1, True, 1.5, None])
def test_update_freq_out_of_range(tmp_path, update_freq):
    with pytest.raises(ValueError, match=f"Received: update_freq={update_freq!r}"):
        kl.callbacks.LiftedTensorBoard(tmp_path, update_freq=update_freq)


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match=r"keras-lifted\[tensorboard\]"):
        kl.callbacks.LiftedTensorBoard(tmp_path)


def test_penalty_scheduler_raises_the_weights():
    inputs = keras.Input((4,))
    h = keras.layers.Dense(5, "relu", name="a")(inputs)
    h = keras.layers.Dense(5, "tanh", name="b")(h)
    model = kl.LiftedModel(inputs, keras.layers.Dense(1)(h))
    penalty = kl.penalties.Bregman({"a": 1.0, "b": 3.0})
    optimizer = kl.optimizers.BlockCoordinateDescent("sgd", penalty)
    model.compile(optimizer=optimizer, loss="mse", jit_compile=True)
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    seen = []

    def schedule(epoch, weights):
        seen.append(weights)
        return {"a": 10.0 * weights["a"]}

    ramp = kl.callbacks.PenaltyScheduler(schedule)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[ramp])
    assert seen == [{"a": 10.0**i, "b": 3.0} for i in range(3)]
    weights = keras.ops.convert_to_numpy(optimizer.lifted.weight)
    assert weights.tolist() == [1000.0, 3.0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [(-1.0, "positive.*Received.*-1"), ({"c": 1.0}, "unknown names: .'c'")],
)
def test_penalty_scheduler_misuse(answer, message):
    inputs = keras.Input((4,))
    h = keras.layers.Dense(5, "relu", name="a")(inputs)
    model = kl.LiftedModel(inputs, keras.layers.Dense(1)(h))
    model.compile(optimizer="sgd", loss="mse")
    ramp = kl.callbacks.PenaltyScheduler(lambda epoch, weights: answer)
    x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0, callbacks=[ramp])


@pytest.mark.parametrize("kind", [kl.LiftedSequential, kl.LiftedModel])
def test_the_graphs_page_shows_what_keras_writes_of_its_own_model(kind, tmp_path):
    plain = network(model=keras.Sequential)
    net = network(model=kl.LiftedSequential)
    if kind is kl.LiftedModel:
        plain = keras.Model(plain.inputs, plain.outputs)
        net = kl.LiftedModel(net.inputs, net.outputs)
        net.compile("sgd", "mse")
        plain.compile("sgd", "mse")
    fit(plain, keras.callbacks.TensorBoard(tmp_path / "plain"))
    fit(net, kl.callbacks.LiftedTensorBoard(tmp_path))

    def layers_of(folder):
        ((_, text),) = read(folder)["keras"]
        config = json.loads(text.item())["config"]
        return [layer["config"]["name"] for layer in config["layers"]][1:]

    expected = layers_of(tmp_path / "plain" / "train")
    assert layers_of(tmp_path / "lifted")[:2] == expected[:2] == BLOCKS
