"""The benchmarks run, and what they compare is what its authors published."""

import json

import keras
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import baselines
from benchmarks import data
from benchmarks import methods
from benchmarks import rates
from benchmarks import report
from benchmarks import stack
from benchmarks import store
from benchmarks import tasks
from benchmarks import timing

RATE, DECAY, STEPS = 0.1, 0.004, 25


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


# -- baselines against the published updates, transcribed with NumPy --------------


def moved(optimizer, starts, slopes):
    """The variables after each step, of an optimizer on given gradients."""
    variables = [keras.Variable(start) for start in starts]
    optimizer.build(variables)
    path = []
    for slope in slopes:
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in slope], variables)
        path.append([np.array(v) for v in variables])
    return path


@pytest.fixture
def problem():
    """Weights of a kernel, a bias and a convolution, and gradients of each step."""
    rng = np.random.default_rng(0)
    # Where sides differ by more than 1, eigenvectors for SOAP are not unique.
    shapes = [(4, 3), (3,), (2, 2, 1, 5)]
    starts = [rng.normal(size=shape).astype("float32") for shape in shapes]
    slopes = [
        [rng.normal(size=shape).astype("float32") for shape in shapes]
        for _ in range(STEPS)
    ]
    return starts, slopes


def as_matrix(array):
    return array.astype("float64").reshape(-1, array.shape[-1])


def adam_of_vector(w, gradients, beta_1, beta_2, skipped):
    m = v = 0.0
    for t, g in enumerate(gradients):
        w = w - RATE * DECAY * w
        k = t + 1 - skipped
        if k > 0:
            m = beta_1 * m + (1 - beta_1) * g
            v = beta_2 * v + (1 - beta_2) * g**2
            m_hat, v_hat = m / (1 - beta_1**k), v / (1 - beta_2**k)
            w = w - RATE * m_hat / (np.sqrt(v_hat) + 1e-8)
        yield w


def soap(w, gradients, beta=0.95, every=10):
    """Vyas et al., Algorithms 3 and 4; the first step as in their code."""
    left = right = m = v = 0.0
    q_left = q_right = np.eye(1)
    for t, g in enumerate(gradients):
        w = w - RATE * DECAY * w
        if t > 0:
            m = beta * m + (1 - beta) * g
            v = beta * v + (1 - beta) * (q_left.T @ g @ q_right) ** 2
            turned = q_left.T @ m @ q_right / (1 - beta**t)
            n = turned / (np.sqrt(v / (1 - beta**t)) + 1e-8)
            w = w - RATE * q_left @ n @ q_right.T
        left = beta * left + (1 - beta) * g @ g.T
        right = beta * right + (1 - beta) * g.T @ g
        if t == 0:
            q_left, q_right = np.linalg.eigh(left)[1], np.linalg.eigh(right)[1]
        elif t % every == 0:
            q_left = np.linalg.qr(left @ q_left)[0]
            q_right = np.linalg.qr(right @ q_right)[0]
        yield w


def shampoo(w, gradients, beta_1=0.9, beta_2=0.99, every=10):
    """Gupta et al., Algorithm 1, with running means and the length of Adam's step."""

    def root(a):
        values, vectors = np.linalg.eigh(a)
        values = np.maximum(values, 0) + 1e-6 * values.max()
        return vectors @ np.diag(values**-0.25) @ vectors.T

    left = right = m = v = 0.0
    for t, g in enumerate(gradients):
        w = w - RATE * DECAY * w
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        left = beta_2 * left + (1 - beta_2) * g @ g.T
        right = beta_2 * right + (1 - beta_2) * g.T @ g
        if t % every == 0:
            root_left, root_right = root(left), root(right)
        m_hat, v_hat = m / (1 - beta_1 ** (t + 1)), v / (1 - beta_2 ** (t + 1))
        adam = m_hat / (np.sqrt(v_hat) + 1e-8)
        d = root_left @ m @ root_right
        w = w - RATE * d * np.linalg.norm(adam) / np.linalg.norm(d)
        yield w


def schedule_free(w, gradients, beta_1=0.9, beta_2=0.999):
    """Defazio et al., Algorithm 1: y after each step, and x after the last."""
    x = z = y = w
    v = total = 0.0
    for t, g in enumerate(gradients, 1):
        v = beta_2 * v + (1 - beta_2) * g**2
        gamma = RATE * np.sqrt(1 - beta_2**t)
        z = z - gamma * g / (np.sqrt(v) + 1e-8) - gamma * DECAY * y
        total += gamma**2
        x = (1 - gamma**2 / total) * x + gamma**2 / total * z
        y = (1 - beta_1) * z + beta_1 * x
        yield y, x


@pytest.mark.parametrize(
    "optimizer, of_matrix, betas, skipped",
    [
        (baselines.SOAP, soap, (0.95, 0.95), 1),
        (baselines.Shampoo, shampoo, (0.9, 0.99), 0),
    ],
)
def test_steps_of_matrices(problem, optimizer, of_matrix, betas, skipped):
    starts, slopes = problem
    path = moved(optimizer(RATE), starts, slopes)
    for i, start in enumerate(starts):
        gradients = [slope[i] for slope in slopes]
        if start.ndim == 1:
            wanted = adam_of_vector(start, gradients, *betas, skipped)
        else:
            wanted = of_matrix(as_matrix(start), [as_matrix(g) for g in gradients])
        for t, expected in enumerate(wanted):
            got = path[t][i].reshape(np.shape(expected))
            np.testing.assert_allclose(got, expected, atol=3e-3, err_msg=f"{i} {t}")


def test_steps_of_schedule_free_adamw(problem):
    starts, slopes = problem
    optimizer = baselines.ScheduleFreeAdamW(RATE)
    path = moved(optimizer, starts, slopes)
    for i, start in enumerate(starts):
        ends = list(schedule_free(start, [slope[i] for slope in slopes]))
        for t, (y, _) in enumerate(ends):
            np.testing.assert_allclose(path[t][i], y, atol=1e-5)


def test_schedule_free_weights_are_means_after_fit():
    """`fit` leaves x, which the next call of `fit` does not begin from."""
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False)])
    model.build((None, 1))
    model.set_weights([np.full((1, 1), 2.0)])
    model.compile(baselines.ScheduleFreeAdamW(RATE), "mse")
    model.fit(np.ones((1, 1)), np.zeros((1, 1)), epochs=1, verbose=0)
    # The first step's mean is z: the gradient is 4, Adam's step its sign.
    (w,) = model.get_weights()
    gamma = RATE * np.sqrt(1 - 0.999)
    z = 2 - gamma * 4 / np.sqrt(0.001 * 16) - gamma * DECAY * 2
    np.testing.assert_allclose(w, z, atol=1e-6)


# -- schedules and rates --------------------------------------------------------


@pytest.mark.parametrize(
    "shape, keras_schedule",
    [
        (
            methods.linear,
            keras.optimizers.schedules.PolynomialDecay(0.1, 10, 0.0),
        ),
        (
            methods.one_cycle,
            keras.optimizers.schedules.CosineDecay(
                0.004, 7, warmup_target=0.1, warmup_steps=3
            ),
        ),
    ],
)
def test_schedules_are_those_of_keras(shape, keras_schedule):
    optimizer = keras.optimizers.SGD(1.0)
    schedule = methods.Schedule(optimizer, shape)
    schedule.rate.assign(0.1)
    schedule.steps.assign(10)
    for step in range(12):
        optimizer.iterations.assign(step)
        wanted = float(keras_schedule(step))
        assert float(optimizer.learning_rate) == pytest.approx(wanted, abs=1e-7)


def test_warm_up_starts_above_zero():
    """Schedule-free means divide by the sum of the squared rates so far."""
    shares = [float(methods.warm_up(t)) for t in (0.0, 0.025, 0.05, 1.0)]
    assert shares == pytest.approx([0.1, 0.55, 1.0, 1.0])


def test_rates_lie_on_the_grid():
    assert [rates.grid(i) for i in range(-3, 4)] == [0.1, 0.2, 0.5, 1, 2, 5, 10]
    found = [rates.grid(rates.nearest(r)) for r in (0.001, 0.0021, 4.0)]
    assert found == [0.001, 0.002, 5]


def test_the_search_extends_its_range_and_leaves_failures():
    assert rates.climb(0.001, lambda rate: -abs(np.log(rate / 0.5))) == 0.5
    assert rates.climb(1.0, lambda rate: rate if rate <= 0.02 else -np.inf) == 0.02
    assert rates.climb(1.0, lambda rate: -np.inf) < 1e-3


# -- runs -------------------------------------------------------------------------


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
    [  # TensorFlow's XLA takes long over eigenvectors and orthogonal factors
        pytest.param(name, marks=pytest.mark.slow)
        if name in ("shampoo", "soap")
        else name
        for name in methods.METHODS
    ],
)
def test_methods_train(run, method):
    if "steepest" in method and not hasattr(methods.kl.optimizers, "SteepestDescent"):
        with pytest.raises(ValueError, match="SteepestDescent"):
            run("quality", "--tasks", "digits", "--methods", method)
        return
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


def test_the_zoo_is_measured(run, monkeypatch):
    monkeypatch.setattr(timing, "BUDGET", 0.0)
    (record,) = run("zoo", "--tasks", "tabular")
    summary = record["summary"]
    assert summary["lifted"] == summary["activations"] == 1  # of two; one is the output
    assert summary["step / Keras's"] > 0 and summary["first_step / Keras's"] > 0
    table = report.page([record])
    assert "| tabular | 52 |" in table and "| 1 of 1 |" in table
