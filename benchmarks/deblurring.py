"""Deblurring by total variation beside pyproximal and SCICO, in seconds."""

import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np

import keras_lifted as kl

SIDE, SIGMA, NOISE, WEIGHT = 256, 1.5, 0.02, 0.01
TARGETS, STEPS, LONG = (1e-2, 1e-3, 1e-4), 600, 3000
TAU = 0.95 / np.sqrt(8)


def seconds_to(targets, objectives, seconds, least):
    """The first seconds at which the relative objective error is below each target."""
    error = (np.array(objectives) - least) / least
    found = [np.flatnonzero(error <= target) for target in targets]
    return [f"{seconds[each[0]]:.2f}" if each.size else "-" for each in found]


def pyproximal_run(y, objective, iterations):
    """Objectives and seconds of its primal-dual method, the blur by SciPy."""
    import pylops
    import pyproximal
    from scipy import ndimage

    n = SIDE * SIDE

    def blur(x):  # symmetric: its own adjoint
        return ndimage.gaussian_filter(x.reshape(SIDE, SIDE), SIGMA).ravel()

    operator = pylops.FunctionOperator(blur, blur, n, n, dtype="float32")
    keywords = {"edge": False, "kind": "forward", "dtype": "float32"}
    history, seconds, clock = [], [], [0.0, time.process_time()]

    def callback(x):
        clock[0] += time.process_time() - clock[1]
        history.append(objective(x.reshape(y.shape).astype("float32")))
        seconds.append(clock[0])
        clock[1] = time.process_time()

    pyproximal.optimization.primaldual.PrimalDual(
        pyproximal.L2(Op=operator, b=y.ravel(), niter=5, warm=True),
        pyproximal.L21(ndim=2, sigma=WEIGHT),
        pylops.Gradient((SIDE, SIDE), **keywords),
        x0=np.zeros(n, "float32"),
        tau=TAU,
        mu=TAU,
        niter=iterations,
        callback=callback,
    )
    return history, seconds


def scico_run(python, y, profile):
    """What `scico_deblurring.py` finds in another environment."""
    script = pathlib.Path(__file__).with_name("scico_deblurring.py")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "problem.npz"
        np.savez(path, y=y[0, ..., 0], profile=profile, weight=WEIGHT)
        command = [python, str(script), str(path)]
        found = subprocess.run(command, capture_output=True, check=True, text=True)
    return json.loads(found.stdout)


def lines(scico=None):
    """A table of seconds; `scico` is the Python of an environment that has it."""
    from skimage import data

    image = (data.camera()[::2, ::2] / 255.0).astype("float32")[None, ..., None]
    blur, tv = kl.imaging.GaussianBlur(SIGMA), kl.regularizers.TotalVariation()
    rng = np.random.default_rng(0)
    y = np.asarray(blur(image)) + NOISE * rng.standard_normal(image.shape)
    y = y.astype("float32")

    def objective(u):
        fit = 0.5 * np.sum((np.asarray(blur(u)) - y) ** 2)
        return float(fit + WEIGHT * float(tv(u)[0]))

    inverter = kl.inversion.Inverter(blur, tv, input_shape=image.shape[1:])
    keywords = {"alpha": WEIGHT, "tolerance": 0, "verbose": 0}
    long = inverter(y, LONG, check_every=100, **keywords)
    least = min(float(long.history["objective"].min()), objective(long.x))
    begun = time.perf_counter()
    short = inverter(y, 50, **keywords)
    share = short.history["seconds"][-1] / (time.perf_counter() - begun)
    begun = time.perf_counter(), time.process_time()
    ours = inverter(y, STEPS, check_every=10, **keywords)
    spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
    rows = {
        "`kl.invert`, nothing set": (
            ours.history["objective"][:, 0],
            ours.history["seconds"] * spent[1] / spent[0],
        ),
        "pyproximal, PrimalDual, steps 0.95/√8 by hand": pyproximal_run(
            y, objective, 250
        ),
    }
    if scico:
        found = scico_run(scico, y, blur.kernels()[0].ravel())
        name = f"SCICO, ADMM, the best ρ of four ({found['rho']:g})"
        rows[name] = (found["objectives"], found["seconds"])
    head = " | ".join(f"to {target:g}" for target in TARGETS)
    table = [f"| method | {head} |", "|---" * (1 + len(TARGETS)) + "|"]
    for name, (history, seconds) in rows.items():
        each = " | ".join(seconds_to(TARGETS, history, seconds, least))
        table.append(f"| {name} | {each} |")
    psnr = float(kl.imaging.psnr(ours.x, image)[0])
    return [
        *table,
        "",
        f"The table shows processor seconds to a relative objective error, {SIDE} × "
        f"{SIDE} pixels with Gaussian blur {SIGMA}, noise {NOISE} and alpha {WEIGHT}; "
        f"compilation is left out. The minimum is that of {LONG} steps. The PSNR is "
        f"{psnr:.2f} dB after {STEPS} steps; {share:.0%} of a call of 50 steps are "
        "steps and checks.",
    ]
