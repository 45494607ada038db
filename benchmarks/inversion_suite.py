"""Inversion, measured: the sections of docs/inversion_certificates.md.

    PYTHONPATH=. python benchmarks/inversion_suite.py SUITE --output FILE.md

`certificates`: objective and certificate of `kl.invert` beside the minimum that CVXPY
finds, in float64. `random`: the same for 200 random problems. `deblurring [--scico
PYTHON]`: seconds to a relative objective error beside pyproximal, and SCICO where an
environment has it. `priors --images IMAGES`: plug-and-play beside total variation.
`networks`: a perceptron and an encoder beside Adam and the trained decoder.
"""

import argparse
import pathlib
import re
import time
import warnings

import keras
import numpy as np

import keras_lifted as kl
from benchmarks import deblurring, inversion_networks, priors, store

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
    note = (
        "The blocks are linear or ReLU in float64, alpha is 0.01 to 2, steps 10 to 300."
    )
    return [*lines, "", note]


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
    note = f"Blocks have {INPUTS} inputs and {OUTPUTS} outputs in float64; alpha is "
    note += f"{ALPHA}, tolerance 1e-3; seconds are of a second call."
    return [*lines, "", note]


def section(path, title, lines):
    """Write a section of a page anew, with the commit that made it."""
    page = path.read_text() if path.exists() else "# Inversion, measured\n"
    head, *parts = re.split(r"^(?=## )", page, flags=re.MULTILINE)
    said = f"This was measured at commit {store.commit()}."
    text = "\n".join([f"## {title}", "", *lines, "", said, ""])
    same = [k for k, part in enumerate(parts) if part.startswith(f"## {title}\n")]
    if same:
        parts[same[0]] = text + "\n"
    else:
        parts.append(text + "\n")
    body = "\n".join([head.rstrip() + "\n", *(p.rstrip() + "\n" for p in parts)])
    path.write_text(body)


def main():
    """Run a suite, and write its section where `--output` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", choices=sorted(TITLES))
    parser.add_argument("--images")
    parser.add_argument("--scico")
    parser.add_argument("--count", type=int)
    parser.add_argument("--output")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    lines = {
        "certificates": certificates,
        "random": lambda: many(options.count or 200),
        "deblurring": lambda: deblurring.lines(options.scico),
        "priors": lambda: priors.lines(options.images, options.count or 6),
        "networks": inversion_networks.lines,
    }[options.suite]()
    print("\n".join(lines))
    if options.output:
        section(pathlib.Path(options.output), TITLES[options.suite], lines)


TITLES = {
    "certificates": "Certificates beside CVXPY",
    "random": "Certificates of random problems",
    "deblurring": "Deblurring with total variation",
    "priors": "Networks as priors",
    "networks": "Perceptron and encoder",
}

if __name__ == "__main__":
    main()
