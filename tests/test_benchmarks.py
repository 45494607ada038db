"""The benchmarks run, on images of noise; their bookkeeping is exact."""

import argparse
import json
import pathlib
import sys

import keras
import numpy as np
import pytest

import keras_lifted as kl

pytest.importorskip("scipy")
BENCHMARKS = str(pathlib.Path(__file__).resolve().parents[1] / "benchmarks")


@pytest.fixture
def benchmarks(monkeypatch):
    """The scripts are importable, and their images are noise."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import data

    rng = np.random.default_rng(0)

    def part(n):
        return rng.random((n, 28, 28, 1), "float32"), rng.integers(0, 10, n)

    monkeypatch.setattr(data, "images", lambda name: (part(600), part(100)))


@pytest.fixture
def call(benchmarks, monkeypatch, tmp_path):
    """Run a script's main; what it reports."""

    def call(name, *arguments):
        output = tmp_path / f"{name}.json"
        monkeypatch.setattr(sys, "argv", [name, *arguments, "--output", str(output)])
        __import__(name).main()
        return json.loads(output.read_text())["results"]

    return call


def test_rates_lie_on_the_grid(benchmarks):
    from rates import grid
    from rates import nearest

    assert [grid(i) for i in range(-3, 4)] == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    assert [grid(nearest(r)) for r in (0.001, 0.0021, 4.0)] == [0.001, 0.002, 5]


def test_the_walk_extends_its_range_and_leaves_failures(benchmarks):
    from rates import climb

    assert climb(0.001, lambda rate: -abs(np.log(rate / 0.5))) == 0.5
    assert climb(1.0, lambda rate: rate if rate <= 0.02 else -np.inf) == 0.02


@pytest.mark.parametrize(
    "name", ["adam", pytest.param("lifted_adam", marks=pytest.mark.slow)]
)
def test_turns_leave_no_trace(benchmarks, name):
    """A run in turns with another gives what `fit` gives alone."""
    from methods import METHODS
    from tasks import TASKS
    from training import Trainer
    from training import put

    task = TASKS["classification_mlp"]
    x, y = task.load(256).train
    trainer = Trainer(task, METHODS[name])
    one, other = trainer.start(1, 0.002), trainer.start(2, 0.01)
    for _ in range(2):
        one, _, _ = trainer.epoch(one, x, y)
        other, _, _ = trainer.epoch(other, x, y)
    put(trainer.model, one)

    keras.utils.set_random_seed(1)
    alone = task.build(kl.LiftedModel if name == "lifted_adam" else keras.Model)
    alone.compile(keras.optimizers.Adam(0.002), task.loss(), jit_compile=True)
    alone.fit(x, y, batch_size=128, epochs=2, shuffle=False, verbose=0)
    for mine, theirs in zip(trainer.model.get_weights(), alone.get_weights()):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_cosine_is_that_of_keras(benchmarks):
    from training import schedule

    optimizer = keras.optimizers.SGD(0.1)
    schedule(optimizer)
    optimizer._learning_rate.decay_steps.assign(8)
    expected = keras.optimizers.schedules.CosineDecay(0.1, 8)
    for step in (0, 3, 8, 9):
        optimizer.iterations.assign(step)
        assert float(optimizer.learning_rate) == pytest.approx(float(expected(step)))


def test_methods_have_schedules(benchmarks):
    import time_to_quality

    options = argparse.Namespace(
        methods="adam,muon:cosine,isgm,lifted_adam",
        epochs="1,4",
        more_epochs="9",
        more_methods="muon",
    )
    best = {"rate": 0.1, "choice": {}}
    rates = {"adam": {"constant": best, "cosine": best}, "muon": {"cosine": best}}
    runs = [
        (run["method"], run["schedule"], run["epochs"])
        for run in time_to_quality.plan(options, rates)
    ]
    assert runs == [
        ("adam", "constant", 4),
        *(("adam", "cosine", n) for n in (1, 4)),
        *(("muon", "cosine", n) for n in (1, 4, 9)),
        *(("isgm", "decay", n) for n in (1, 4)),
        ("lifted_adam", "own", 4),
    ]
    options.methods = "isgm:constant"
    (run,) = time_to_quality.plan(options, {})
    assert (run["schedule"], run["epochs"], run["rate"]) == ("constant", 4, None)
    options.epochs, options.parts = "0.25,1", 4
    assert time_to_quality.horizons_of("isgm", options) == [0.25, 1]
    options.parts = 2
    with pytest.raises(ValueError, match="multiples of 1/2, .* Received: 0.25"):
        time_to_quality.horizons_of("isgm", options)


def test_averaged_weights_are_judged_but_not_trained_on(benchmarks):
    from methods import Method
    from tasks import TASKS
    from training import Trainer
    from training import state_of

    task = TASKS["classification_mlp"]
    x, y = task.load(256).train
    method = Method(lambda: keras.optimizers.SGD(0.1, use_ema=True))
    trainer = Trainer(task, method)
    state, _, _ = trainer.epoch(trainer.start(0), x, y)
    assert not np.allclose(state[0], state_of(trainer.model)[0])


@pytest.mark.slow
def test_time_to_quality(call, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["--task", "classification_mlp", "--methods", "adam,lifted_adam"]
    arguments += [
        "--epochs",
        "0.5,2",
        "--seeds",
        "2",
        "--search-epochs",
        "1",
        "--parts",
        "2",
    ]
    results = call("time_to_quality", *arguments)
    assert [(run["schedule"], run["epochs"]) for run in results["runs"]] == [
        ("constant", 2),
        ("cosine", 0.5),
        ("cosine", 2),
        ("own", 2),
    ]
    assert np.shape(results["runs"][0]["quality"]) == (2, 4)  # seeds, parts
    assert np.shape(results["runs"][1]["quality"]) == (2, 1)
    import render

    folder = tmp_path / "docs"
    markdown = render.render(tmp_path / "time_to_quality.json", folder)
    assert "| adam, constant |" in markdown
    assert (folder / "figures" / "time_to_quality.svg").exists()


def test_degraded_images(benchmarks):
    """Of the images' shape, worse than them, and the same for the same seed."""
    from restoration_tasks import DEGRADATIONS
    from tasks import TASKS

    x = np.random.default_rng(0).random((64, 28, 28, 1), "float32")
    for name, degrade in DEGRADATIONS.items():
        y = degrade(x, 0)
        np.testing.assert_array_equal(y, degrade(x, 0))
        task = TASKS[f"{name}_mlp"]
        assert 0 < task.quality(np.array(y), x) < 30
        for inputs, targets in task.load(64):
            assert inputs.shape == targets.shape == (len(inputs), 28, 28, 1)
    hidden = np.array(DEGRADATIONS["inpainting"](x, 0)) == 0
    assert 0.45 < hidden.mean() < 0.55
    assert np.any(hidden[0] != hidden[1])


def test_best_baseline(benchmarks):
    """At equal epochs and at equal time, on a table worked out by hand."""
    import restoration

    def run(method, schedule, quality):
        epochs = len(quality)
        curves = {"quality": [quality], "ssim": [[0.5] * epochs]}
        rate = 0.1 if method != "isgm" else None
        seconds = [[2.0 if method == "isgm" else 1.0] * epochs]
        return {
            **{"method": method, "schedule": schedule, "rate": rate},
            **{"epochs": epochs, "seconds": seconds, **curves},
        }

    runs = [
        run("adam", "constant", [10.0, 21.0, 12.0, 13.0, 30.0]),
        run("adam", "cosine", [40.0, 11.0]),
        run("sgd", "constant", [10.0, None]),
        run("isgm", "decay", [40.0, 20.0]),
    ]
    (row,) = restoration.rows({"task": "a_b", "images": 9, "runs": runs})
    assert "21.00 / 0.500 (adam, constant 0.1, 2 epochs, 2.0 s) | -1.00" in row
    assert "| 4.0 | 21.00" in row

    runs[0]["quality"] = [[10.0, 9.0, 12.0, 13.0, 30.0]]
    (row,) = restoration.rows({"task": "a_b", "images": 9, "runs": runs})
    assert "11.00 / 0.500 (adam, cosine 0.1, 2 epochs, 2.0 s) | +9.00 | 4.0 |" in row
    assert "13.00 / 0.500 (adam, constant 0.1, 4 epochs, 4.0 s) | +7.00 |" in row


def test_muon_serves_blocks_as_matrices(benchmarks):
    """As Keras's serves Dense layers in their places, wherever it scales steps."""
    from block_muon import BlockMuon

    rng = np.random.default_rng(0)
    start, slopes = rng.normal(size=(2, 3, 4, 6)).astype("float32")
    stack = keras.Variable(start)
    ours = BlockMuon(0.1)
    ours.build([stack])
    blocks = [keras.Variable(each) for each in start]
    usual = keras.optimizers.Muon(0.1)
    usual.build(blocks)
    for _ in range(2):
        ours.apply([keras.ops.convert_to_tensor(slopes)], [stack])
        usual.apply([keras.ops.convert_to_tensor(each) for each in slopes], blocks)
    got, wanted = np.array(stack), np.stack([np.array(each) for each in blocks])
    np.testing.assert_allclose(got, wanted, atol=1e-4)
    assert np.abs(got - start).max() > 1e-2


@pytest.mark.slow
def test_depth_quality(call):
    results = call(
        "depth_quality",
        *["--depths", "3", "--methods", "adam:constant,isgm_2+1,adam_2+1:cosine"],
        *["--limit", "256", "--search", "128", "--epochs", "1", "--more-epochs", "2"],
    )
    assert [run["epochs"] for run in results["3"]["runs"]] == [2, 1, 1]
    assert all(run["first_step"] > 0 for run in results["3"]["runs"])


def test_what_backprop_had_by_then(benchmarks):
    import depth_quality

    def run(method, quality, seconds):
        curves = {"quality": [quality], "seconds": [seconds]}
        return {
            **{"method": method, "schedule": "constant", "epochs": len(quality)},
            **{"rate": 0.1, "first_step": 1.0, **curves},
        }

    runs = [
        run("adam", [70.0, 80.0, 75.0], [1.0, 1.0, 1.0]),
        run("block_muon", [85.0, None], [2.5, 1.0]),
        run("isgm", [82.0, 84.0], [2.2, 1.0]),
    ]
    assert depth_quality.best_by(2.2, runs) == 80.0
    assert depth_quality.best_by(0.5, runs) is None
    table = depth_quality.table({"64": {"runs": runs, "horizons": [1, 2]}})
    assert "| 82.00 | 2.2 | +2.00 |" in table
    assert "| 84.00 | 3.2 | -1.00 |" in table
    assert "nan" not in table


@pytest.mark.slow
def test_denoiser(call, tmp_path):
    from matplotlib import image

    rng = np.random.default_rng(0)
    folders = [tmp_path / name for name in ("train", "test")]
    for folder in folders:
        folder.mkdir()
        for i, shape in enumerate([(16, 24), (24, 16)]):
            image.imsave(folder / f"{i}.png", rng.random((*shape, 3)))
    results = call(
        "denoiser",
        *["--train", str(folders[0]), "--test", str(folders[1]), "--minutes", "0.001"],
        *["--layers", "2", "--filters", "2", "--side", "8", "--batches", "2"],
        *["--methods", "isgm:decay,adam:constant:0.001", "--curve", "1"],
    )
    assert 19.0 < results["noisy"] < 21.5  # 20.2 dB and what is clipped
    for run in results["runs"]:
        assert len(run["quality"]) == run["rounds"]
        assert len(run["pictures"]) == 2


def test_pictures_are_rounded_to_bytes(benchmarks):
    import pictures

    clean = np.full((1, 4, 4, 1), 100 / 255, "float32")
    off = clean + 1.4 / 255  # rounds to 1, and then 20 log₁₀ 255
    assert abs(pictures.psnr_of_bytes(off, clean) - 20 * np.log10(255)) < 1e-3
    above = np.full((1, 4, 4, 1), 7.0)
    assert pictures.psnr_of_bytes(above, np.zeros_like(above)) == 0.0


@pytest.mark.slow
def test_tuning_sensitivity(call):
    results = call(
        "tuning_sensitivity",
        *["--tasks", "classification_mlp", "--methods", "adam"],
        *["--limit", "256", "--epochs", "1", "--seeds", "1"],
    )
    assert np.shape(results[0]["quality"]) == (5, 1)


@pytest.mark.slow
def test_ablation(call):
    results = call(
        "ablation",
        *["--methods", "lifted_adam", "--activations", "steep_clip"],
        *["--directions", "backprop;sweep, w = 1e6;sweep, w = 0.3"],
        *["--limit", "256", "--epochs", "1", "--seeds", "1"],
    )
    assert len(results["lifted_adam"]) == 3


@pytest.mark.slow
def test_schedules_and_horizons_of_a_method(call):
    arguments = ["--task", "deblurring_mlp", "--methods", "adam:cosine,lifted_adam"]
    arguments += ["--limit", "128", "--epochs", "1", "--more-epochs", "2"]
    arguments += ["--seeds", "1", "--search-epochs", "1"]
    results = call("time_to_quality", *arguments)
    assert [(run["schedule"], run["epochs"]) for run in results["runs"]] == [
        ("cosine", 1),
        ("cosine", 2),
        ("own", 1),
    ]
    for run in results["runs"]:
        assert np.shape(run["ssim"]) == (1, run["epochs"])


@pytest.mark.slow
def test_stored_rates_are_not_searched_again(call, tmp_path):
    arguments = ["--task", "classification_mlp", "--methods", "adam"]
    arguments += ["--search-epochs", "1", "--search-only"]
    path = str(tmp_path / "time_to_quality.json")
    first = call("time_to_quality", *arguments)["rates"]
    first["adam"]["cosine"]["rate"] = 7.0
    stored = {"results": {"task": "classification_mlp", "rates": first}}
    pathlib.Path(path).write_text(json.dumps(stored))
    assert call("time_to_quality", *arguments, "--rates", path)["rates"] == first

    import rates

    with pytest.raises(ValueError, match="Expected rates of the task 'deblurring'"):
        rates.stored(path, "deblurring")


@pytest.mark.slow
def test_inversion(call):
    pytest.importorskip("skimage")
    settings = "--outputs 32 --noise 0.05 --steps 50 --images 1".split()
    (cell,) = call("inversion", *settings)["cells"]
    for method in ("invert", "output_lifted", "adam"):
        assert cell[method]["seconds"] > 0
        assert np.isfinite(cell[method]["psnr"]).all()
        assert cell[method]["iterations"] >= 1


@pytest.mark.slow
def test_autoencoder_inversion(call, tmp_path):
    weights = str(tmp_path / "encoder.weights.h5")
    settings = "--images 2 --tuning 2 --starts 2 --epochs 1 --noise 0.1".split()
    settings += ["--steps", "20", "--sensitivity", "--weights", weights]
    results = call("autoencoder_inversion", *settings)
    (row,) = results["cells"]
    for method in ("invert", "adam"):
        assert row[method]["runs"] == 4
        assert row[method]["seconds"] > 0
        assert len(row[method]["by_alpha"]) == len(row[method]["by_step"]) == 5
    assert row["decoder"]["runs"] == 2
    assert pathlib.Path(weights).exists()
    import autoencoder_inversion

    lines = autoencoder_inversion.table(results).splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert [line.split(" | ")[1] for line in lines[2:5]] == [
        "kl.invert",
        "Adam",
        "decoder",
    ]


@pytest.mark.slow
def test_inversion_memory(call):
    results = call("inversion_memory", "--batch", "2", "--steps", "2")
    assert 0 < results["building"] <= results["one image"]
    import inversion_memory

    assert "| a batch of 2 |" in inversion_memory.table(results)


def test_failures_and_the_best_start(benchmarks):
    """Of two images from two starts, worked out by hand."""
    import autoencoder_inversion

    truth = np.zeros((2, 28, 28, 1), "float32")
    errors = np.array([[0.1, 0.2], [0.01, 0.1]], "float32")
    found = errors[:, :, None, None, None] + np.stack([truth, truth])
    best = np.array([40.0, 20.0])
    values = np.array([[1.0, 3.0], [2.0, np.nan]])
    row = autoencoder_inversion.judged(truth, found, values, best)
    # PSNR 20 and 13.98 from the first start, 40 and 20 from the second.
    assert row["psnr"] == pytest.approx((20 + 13.979 + 40 + 20) / 4, abs=1e-3)
    assert row["psnr_best_start"] == pytest.approx((20 + 13.979) / 2, abs=1e-3)
    assert (row["failures"], row["runs"]) == (2, 4)

    found[1, 1] = np.nan
    row = autoencoder_inversion.judged(truth, found, values, best)
    assert row["failures"] == 3


def test_alpha_and_rate_are_searched_together(benchmarks):
    from descent import tuned

    def score(alpha, rate):
        return -abs(np.log(alpha / 0.02)) - abs(np.log(rate * alpha / 0.001))

    assert tuned(score, 0.1, 1.0) == (0.02, 0.05)


HLO = """HloModule step

%body (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  ROOT %a = f32[4]{0} all-reduce(%p), to_apply=%add
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %g = f32[8,2]{1,0} all-gather(%x), dimensions={0}
  %c = (f32[3]{0}, bf16[2]{0}) collective-permute(%x)
  ROOT %w = f32[4]{0} while(%x), condition=%more, body=%body TRIPS
}
"""
TRIPS = ', backend_config={"known_trip_count":{"n":"5"}}'


def test_traffic_between_devices(benchmarks):
    from collectives import traffic

    found = traffic(HLO.replace(" TRIPS", TRIPS), devices=4)
    assert found.operations == 2 + 5
    # Bytes of the results, times what a ring of four sends of each.
    assert found.bytes == 64 * 3 / 4 + (12 + 4) + 5 * (16 * 2 * 3 / 4)
    with pytest.raises(ValueError, match="trip count"):
        traffic(HLO.replace(" TRIPS", ""), devices=4)
    with pytest.raises(ValueError, match="all-gather-start"):
        traffic(HLO.replace(" all-gather(", " all-gather-start("), devices=4)
