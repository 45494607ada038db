"""Baselines take the published steps, transcribed here with NumPy."""

import keras
import numpy as np
import pytest

from benchmarks import baselines

RATE, DECAY, STEPS = 0.1, 0.004, 25


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
