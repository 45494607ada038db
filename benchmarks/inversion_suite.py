"""One-block inversion against CVXPY and pyproximal.

    python benchmarks/inversion_suite.py certificates --output FILE.md
    python benchmarks/inversion_suite.py deblurring --output FILE.md

`certificates`: objective and certificate of `kl.invert` beside the minimum that CVXPY
finds, in float64. `deblurring`: seconds to a relative objective error, with total
variation, beside pyproximal's primal-dual method with steps set by hand.
"""

import argparse
import pathlib
import time
import warnings

import keras
import numpy as np

import keras_lifted as kl

R = kl.regularizers
INPUTS, OUTPUTS, ALPHA = 24, 16, 0.05


def variation(cp, u):
    """Total variation of a signal, as CVXPY writes it."""
    return cp.norm1(u[1:] - u[:-1])


# Name -> regularizer, its CVXPY form, constraints.
PAIRS = {
    "L1": (R.L1(), lambda cp, u: cp.norm1(u), lambda u: []),
    "Tikhonov": (R.Tikhonov(), lambda cp, u: 0.5 * cp.sum_squares(u), lambda u: []),
    "GroupSparsity": (R.GroupSparsity(), lambda cp, u: cp.norm(u), lambda u: []),
    "TotalVariation": (R.TotalVariation(), variation, lambda u: []),
    "TotalVariation + Box": (
        R.TotalVariation() + R.Box(0.0, 1.0),
        variation,
        lambda u: [u >= 0, u <= 1],
    ),
    "TotalVariation + Tikhonov": (
        R.TotalVariation() + R.Tikhonov(),
        lambda cp, u: variation(cp, u) + 0.5 * cp.sum_squares(u),
        lambda u: [],
    ),
    "NonNegative": (R.NonNegative(), lambda cp, u: 0.0, lambda u: [u >= 0]),
}


def block(activation, rng):
    """A dense block in float64, its kernel and bias, and noisy outputs."""
    layer = keras.layers.Dense(OUTPUTS, activation, dtype="float64")
    layer.build((None, INPUTS))
    kernel = rng.normal(size=(INPUTS, OUTPUTS)) / np.sqrt(INPUTS)
    bias = 0.1 * rng.normal(size=OUTPUTS)
    layer.set_weights([kernel, bias])
    signal = np.repeat(rng.normal(size=INPUTS // 4), 4)
    z = signal @ kernel + bias + 0.05 * rng.normal(size=OUTPUTS)
    return layer, kernel, bias, np.maximum(z, 0) if activation == "relu" else z


def minimum(cp, name, activation, kernel, bias, y, alpha=ALPHA):
    """What CVXPY finds."""
    u = cp.Variable(INPUTS)
    z = kernel.T @ u + bias
    if activation == "relu":
        fidelity = 0.5 * cp.sum_squares(cp.pos(z)) - y @ z + 0.5 * float(y @ y)
    else:
        fidelity = 0.5 * cp.sum_squares(z - y)
    _, penalty, constraints = PAIRS[name]
    problem = cp.Problem(cp.Minimize(fidelity + alpha * penalty(cp, u)), constraints(u))
    return problem.solve(solver="CLARABEL")


def many(count=200):
    """Certificates of random problems beside the true distances from the minimum.

    The weights, data, alpha (0.01 to 2) and steps (10 to 300) are drawn; a certificate
    is compared with the error or with 1e-6 of the objective, which CVXPY leaves open.
    """
    import cvxpy as cp

    rng = np.random.default_rng(1)
    pairs = [(activation, name) for activation in ("linear", "relu") for name in PAIRS]
    found = {name: [] for name in PAIRS}
    inverters = {}
    for index in range(count):
        activation, name = pairs[index % len(pairs)]
        if (activation, name) not in inverters:
            layer, *_ = block(activation, rng)
            inverter = kl.inversion.Inverter(layer, PAIRS[name][0])
            inverters[activation, name] = layer, inverter
        layer, inverter = inverters[activation, name]
        other, kernel, bias, y = block(activation, rng)
        layer.set_weights(other.get_weights())
        alpha = 10.0 ** rng.uniform(-2.0, 0.3)
        steps = int(rng.choice([10, 30, 100, 300]))
        least = minimum(cp, name, activation, kernel, bias, y, alpha)
        result = inverter(y[None], steps, alpha, tolerance=0, verbose=0)
        objective, bound = result.objective[0], result.certificate[0]
        floor = 1e-6 * (1e-3 + abs(objective))
        error = objective - least
        found[name].append((error - bound > floor, bound / max(error, floor)))
    found["all"] = [each for name in PAIRS for each in found[name]]
    lines = [
        "| regularizer | problems | below the error | median ratio | within 10 times |",
        "|---|---|---|---|---|",
    ]
    for name, each in found.items():
        below, ratios = (np.array(column) for column in zip(*each, strict=True))
        lines.append(
            f"| {name} | {len(each)} | {below.sum()} | {np.median(ratios):.1f} | "
            f"{np.mean(ratios <= 10):.0%} |"
        )
    return lines


def certificates():
    """Compare objectives and certificates with CVXPY."""
    import cvxpy as cp

    lines = [
        "| block | regularizer | minimum (CVXPY) | objective error | certificate | "
        "steps | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for activation in ("linear", "relu"):
        for name, (regularizer, _, _) in PAIRS.items():
            layer, kernel, bias, y = block(activation, np.random.default_rng(0))
            least = minimum(cp, name, activation, kernel, bias, y)
            inverter = kl.inversion.Inverter(layer, regularizer)
            keywords = {"alpha": ALPHA, "max_steps": 5000, "verbose": 0}
            inverter(y[None], **keywords)
            begun = time.perf_counter()
            result = inverter(y[None], **keywords)
            seconds = time.perf_counter() - begun
            error = result.objective[0] - least
            lines.append(
                f"| {activation} | {name} | {least:.6f} | {error:.1e} | "
                f"{result.certificate[0]:.1e} | {result.iterations} | {seconds:.2f} |"
            )
            print(lines[-1], flush=True)
    return lines


SIDE, WEIGHT, TARGETS = 256, 0.01, (1e-2, 1e-3, 1e-4)


def seconds_to(targets, history, seconds, least):
    """The first seconds at which the relative objective error is below each target."""
    error = (np.array(history) - least) / least
    found = [np.flatnonzero(error <= target) for target in targets]
    return [f"{seconds[each[0]]:.2f}" if each.size else "-" for each in found]


def deblurring():
    """Time deblurring by total variation beside pyproximal."""
    import pylops
    import pyproximal
    from skimage import data

    image = (data.camera()[::2, ::2] / 255.0).astype("float32")[None, ..., None]
    blur = kl.imaging.GaussianBlur(1.5)
    rng = np.random.default_rng(0)
    y = np.asarray(blur(image)) + 0.02 * rng.standard_normal(image.shape)
    y = y.astype("float32")
    tv = R.TotalVariation()
    inverter = kl.inversion.Inverter(blur, tv, input_shape=image.shape[1:])
    keywords = {"alpha": WEIGHT, "tolerance": 0, "verbose": 0, "check_every": 10}
    inverter(y, 10, **keywords)
    long = inverter(y, 1500, **{**keywords, "check_every": 100})
    least = float(long.objective[0] - min(long.certificate[0], 0.0))
    begun = time.perf_counter()
    result = inverter(y, 300, **keywords)
    overall = time.perf_counter() - begun
    ours = seconds_to(
        TARGETS, result.history["objective"][:, 0], result.history["seconds"], least
    )

    def forward(x):
        x = x.reshape(image.shape).astype("float32")
        return np.asarray(blur(x), "float32").ravel()

    def adjoint(x):
        x = x.reshape(image.shape).astype("float32")
        return np.asarray(blur.adjoint(x), "float32").ravel()

    n = SIDE * SIDE
    operator = pylops.FunctionOperator(forward, adjoint, n, n, dtype="float32")
    gradient = pylops.Gradient(
        (SIDE, SIDE), edge=False, kind="forward", dtype="float32"
    )
    smooth = pyproximal.L2(Op=operator, b=y.ravel(), niter=5, warm=True)
    norm = pyproximal.L21(ndim=2, sigma=WEIGHT)
    history, seconds = [], []
    begun = time.perf_counter()
    spent = 0.0

    def objective(x):
        nonlocal spent, begun
        now = time.perf_counter()
        spent += now - begun
        u = x.reshape(image.shape).astype("float32")
        fit = 0.5 * np.sum((np.asarray(blur(u)) - y) ** 2)
        history.append(float(fit + WEIGHT * float(tv(u)[0])))
        seconds.append(spent)
        begun = time.perf_counter()

    pyproximal.optimization.primaldual.PrimalDual(
        smooth,
        norm,
        gradient,
        x0=np.zeros(n, "float32"),
        tau=0.95 / np.sqrt(8),
        mu=0.95 / np.sqrt(8),
        niter=100,
        callback=objective,
    )
    theirs = seconds_to(TARGETS, history, seconds, least)
    psnr = float(kl.imaging.psnr(result.x, image)[0])
    steps = result.history["seconds"][-1] / overall
    return [
        "| method | " + " | ".join(f"to {t:g}" for t in TARGETS) + " |",
        "|---|" + "---|" * len(TARGETS),
        "| `kl.invert`, nothing set | " + " | ".join(ours) + " |",
        "| pyproximal, PrimalDual, steps 0.95/√8 | " + " | ".join(theirs) + " |",
        "",
        f"Seconds, {SIDE} × {SIDE} pixels, Gaussian blur 1.5, noise 0.02, alpha "
        f"{WEIGHT}; PSNR {psnr:.2f} dB after 300 steps, of whose call "
        f"{steps:.0%} are steps and checks. The minimum is that of 1500 steps.",
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=["certificates", "deblurring"])
    parser.add_argument("--output")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    lines = {"certificates": certificates, "deblurring": deblurring}[options.suite]()
    text = "\n".join(lines) + "\n"
    print(text)
    if options.output:
        pathlib.Path(options.output).write_text(text)
