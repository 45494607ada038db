"""Suites run, and their results are kept and reported."""

import json

import keras
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import data, methods, report, stack, store, tasks, timing


@pytest.fixture
def noise(monkeypatch):
    """Images of noise instead of Fashion-MNIST."""
    rng = np.random.default_rng(0)

    def part(n):
        return rng.random((n, 28, 28, 1), "float32"), rng.integers(0, 10, n)

    drawn = part(600), part(100)
    monkeypatch.setattr(data, "images", lambda name: drawn)


@pytest.fixture
def run(noise, monkeypatch, tmp_path):
    """Run the command; return its records."""

    def run(*arguments):
        path = tmp_path / "runs.jsonl"
        monkeypatch.setattr(
            "sys.argv", ["benchmarks", "run", *arguments, "--results", str(path)]
        )
        command.main()
        return store.load(path)

    return run


def test_a_run_is_what_fit_does_alone(run):
    """Runs share a compiled model, and leave no trace in each other."""
    records = run(
        *["quality", "--tasks", "mlp", "--methods", "adam", "--epochs", "2"],
        *["--seeds", "2", "--rate", "0.002"],
    )
    assert [r["config"]["seed"] for r in records] == [0, 1]

    task = tasks.TASKS["mlp"]
    model = task.build(keras.Model)
    (x, y), _, test = task.load(None)
    steps = len(x) // 128
    decay = keras.optimizers.schedules.PolynomialDecay(0.002, 2 * steps, 0.0)
    model.compile(keras.optimizers.Adam(decay), task.loss())
    model.fit(x[:128], y[:128], batch_size=128, verbose=0)
    keras.utils.set_random_seed(1)
    start = task.build(keras.Model).get_weights()
    model.fit(x[:128], y[:128], batch_size=128, verbose=0)  # draws an order, too
    model.set_weights(start)
    for variable in model.optimizer.variables:
        variable.assign(np.zeros(variable.shape))
    x, y = x[: steps * 128], y[: steps * 128]
    model.fit(x, y, batch_size=128, epochs=2, verbose=0)
    loss = float(task.loss()(test[1], model.predict(test[0], verbose=0)))
    assert records[1]["summary"]["loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.slow
def test_the_best_rate_runs_with_all_seeds(run):
    records = run(
        *["quality", "--tasks", "digits", "--methods", "sgd"],
        *["--epochs", "1", "--seeds", "2"],
    )
    searched = [r for r in records if r["config"]["seed"] == 0]
    best = min(searched, key=lambda r: r["summary"]["validation_loss"])
    (other,) = (r for r in records if r["config"]["seed"] == 1)
    assert len(searched) >= 3
    assert other["config"]["rate"] == best["config"]["rate"]
    for record in records:
        assert record["seconds"] > 0
        assert record["first_step"] > 0
        assert set(record["versions"]) == {"python", "keras", keras.backend.backend()}


def test_results_that_stand_are_not_measured_again(run):
    arguments = ["quality", "--tasks", "digits", "--methods", "adam", "--rate", "0.1"]
    arguments += ["--epochs", "1", "--seeds", "1"]
    assert len(run(*arguments)) == 1
    assert len(run(*arguments)) == 1
    assert len(run(*arguments, "--again")) == 2


def test_a_run_that_fails_has_no_quality(run):
    (record,) = run(
        *["quality", "--tasks", "deblurring", "--methods", "sgd", "--rate", "1e9"],
        *["--epochs", "1", "--seeds", "1", "--samples", "256"],
    )
    assert "quality" not in record["summary"]


@pytest.mark.parametrize(
    "method",
    [  # a tuned one, one with an end of its own, and ours in the quick suite
        name
        if name in ("adamw", "schedule_free_adamw", "lifted_steepest_descent")
        else pytest.param(name, marks=pytest.mark.slow)
        for name in methods.METHODS
    ],
)
def test_methods_train(run, method):
    (record,) = run(
        *["quality", "--tasks", "digits", "--methods", method, "--epochs", "4"],
        *["--seeds", "1", "--rate", "0.01"],
    )
    assert record["summary"]["quality"] > 60


class Decaying(keras.optimizers.SGD):
    """Stands for an optimizer that decays over a number of steps by itself."""

    decays = []

    def __init__(self, learning_rate=0.1, decay="fit"):
        super().__init__(learning_rate)
        self.decays.append(decay)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["steepest_descent", "lifted_steepest_descent"])
def test_steepest_descent_is_told_its_steps(run, monkeypatch, method):
    optimizers = methods.kl.optimizers
    monkeypatch.setattr(optimizers, "SteepestDescent", Decaying, raising=False)
    monkeypatch.setattr(Decaying, "decays", [])
    arguments = ["quality", "--tasks", "digits", "--methods", method, "--seeds", "1"]
    short, long = run(*arguments, "--epochs", "1,2")
    steps = short["config"]["samples"] // 128
    assert {steps, 2 * steps} == set(Decaying.decays)
    assert short["config"]["rate"] is None
    *_, other = run(
        *[*arguments, "--epochs", "1", "--arguments", '{"learning_rate": 0.01}']
    )
    assert other["config"]["arguments"] == {"learning_rate": 0.01}
    assert other["summary"]["loss"] > short["summary"]["loss"]


@pytest.mark.slow
def test_costs_are_beside_those_of_adam(run, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET", 0)
    adam, sgd = run("cost", "--tasks", "mlp_cost", "--methods", "adam,sgd")
    assert adam["summary"]["state / weights"] == pytest.approx(2, abs=0.01)
    assert sgd["summary"]["state / weights"] == pytest.approx(1, abs=0.01)
    assert 0.3 < adam["summary"]["step / Adam's"] < 3
    for record in (adam, sgd):
        ratio = f"{record['summary']['state / weights']:.2f}"
        assert f" {ratio} | {record['commit'][:9]}" in report.page([record])


@pytest.mark.slow
@pytest.mark.parametrize("name", list(tasks.TASKS))
def test_tasks_build_and_judge(noise, name):
    task = tasks.TASKS[name]
    model = task.build(keras.Model)
    if name not in tasks.RESTORATION:
        assert model.layers[-1].name == "output"  # "muon_adamw_output" asks for it
    (x, _), _, (_, y) = task.load(32)
    prediction = model.predict(x[:8], verbose=0)
    assert np.isfinite(task.quality(prediction, y[:8]))
    assert np.isfinite(float(task.loss()(y[:8], prediction)))


def test_the_page_has_losses_and_wins():
    """Rates by validation, equal epochs, equal time: worked out by hand."""

    def record(method, epochs, rate, seed, validation, quality, seconds, by="a"):
        return {
            "config": {
                **{"measure": "quality", "task": "mlp", "method": method},
                **{"arguments": {}, "rate": rate, "seed": seed, "epochs": epochs},
                **{"samples": 100, "batch_size": 128},
            },
            "summary": {"validation": validation, "quality": quality, "loss": 0.5},
            **{"seconds": seconds, "first_step": 1.0, "commit": 40 * by},
            **{"backend": "jax", "device": "cpu", "cores": 1},
            "versions": {"jax": "1", "keras": "3"},
        }

    records = [
        record("adamw", 1, 0.1, 0, 80.0, 70.0, 1.0),
        record("adamw", 1, 0.2, 0, 70.0, 90.0, 1.0),
        record("adamw", 1, 0.1, 1, 80.0, 72.0, 1.0),
        record("adamw", 2, 0.1, 0, 80.0, 76.0, 2.0),
        record("soap", 1, 0.1, 0, 80.0, 74.0, 5.0),
        record("steepest_descent", 1, None, 0, 1.0, 60.0, 3.0, "b"),
        record("steepest_descent", 1, None, 1, 1.0, 60.0, 3.0, "b"),
        record("steepest_descent", 1, None, 0, 1.0, 75.0, 3.0),
    ]
    text = report.page(records)
    assert "| 1 | 100 | adamw | 0.1 | 2 | 71.00 ± 1.41 | 0.5000 ± 0.0000 | 1 |" in text
    assert "| mlp | 1 | 71.00 | 74.00 | **75.00** |" in text
    assert "74.00 (soap, epochs: 1, 5 s) | +1.00 | 3 |" in text
    assert "| 76.00 (adamw, epochs: 2, 2 s) | -1.00 |" in text


def test_records_have_a_line_each(tmp_path):
    path = tmp_path / "runs.jsonl"
    store.append({"config": {"method": "adam"}}, path)
    store.append({"config": {"method": "sgd"}}, path)
    first, second = store.load(path)
    assert second["config"] == {"method": "sgd"}
    assert first["commit"][:7].isalnum()
    assert json.loads(path.read_text().splitlines()[0]) == first


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="reads programs of XLA")
@pytest.mark.slow
@pytest.mark.parametrize("kind", stack.BLOCKS)
def test_rounds_do_not_wait_for_every_block(kind):
    """The chain of a loop grows with the depth, that of rounds hardly does."""

    def chain(depth, way):
        found = stack.measured(kind, depth, way, 0)
        assert found["loops_of_unknown_length"] == 0
        return found["chain"]

    assert chain(16, "loop") > 1.8 * chain(8, "loop")
    assert chain(16, "lifted_rounds") < 1.3 * chain(8, "lifted_rounds")
    assert chain(16, "lifted_rounds") < 0.5 * chain(16, "loop")


@pytest.mark.slow
def test_the_zoo_is_measured(run, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET", 0.0)
    (record,) = run("zoo", "--tasks", "tabular")
    summary = record["summary"]
    assert summary["lifted"] == summary["activations"] == 1  # of two; one is the output
    assert summary["step / Keras's"] > 0 and summary["first_step / Keras's"] > 0
    table = report.page([record])
    assert "| tabular | 52 |" in table and "| 1 of 1 |" in table
