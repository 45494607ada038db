"""Inversion of a perceptron and of an encoder beside Adam and the trained decoder.

All minimise the same kind of objective, `½‖network(u) − y‖² + alpha TV(u)`, in [0, 1]
for the encoder. `kl.invert` runs at its defaults; Adam takes automatic derivatives of
the network, projects after each step, and has the processor time that `kl.invert`
took, at the best of a few rates. The alpha of each is the best of a few.
"""

import time

import keras
import numpy as np
from keras import ops

import keras_lifted as kl
from benchmarks.data import images
from keras_lifted.backend import compiled, gradient, while_loop

SIDE, OUTPUTS, CODE = 64, 512, 300
TRAIN, EPOCHS, COUNT, STARTS, MANY, FEW = 10000, 5, 6, 1, 500, 100
R = kl.regularizers


def adam(network, boxed):
    """`(start, y, alpha, rate, steps) -> images`, compiled once for every shape."""
    variation = R.TotalVariation()

    def objective(u, y, alpha):
        fit = 0.5 * ops.sum(ops.square(network(u, training=False) - y))
        squares = ops.sum(ops.square(variation.operator(u)), axis=-1)
        return fit + alpha * ops.sum(ops.sqrt(squares + 1e-8)), None

    def run(start, y, alpha, rate, steps):
        def body(k, u, m, v):
            _, (slope,) = gradient(lambda u: objective(u, y, alpha), [u])
            m, v, k = 0.9 * m + 0.1 * slope, 0.999 * v + 0.001 * slope**2, k + 1.0
            size = ops.sqrt(v / (1.0 - 0.999**k)) + 1e-8
            u = u - rate * m / (1.0 - 0.9**k) / size
            return k, ops.clip(u, 0.0, 1.0) if boxed else u, m, v

        zero = ops.zeros_like(start)
        begin = (ops.zeros(()), start, zero, zero)
        return while_loop(lambda k, *_: k < steps, body, begin)[1]

    fast = compiled(run)

    def called(*arguments):
        tensors = (ops.convert_to_tensor(each, dtype="float32") for each in arguments)
        return ops.convert_to_numpy(fast(*tensors))

    return called


def seconds(function):
    """Processor seconds of a call."""
    begun = time.process_time()
    function()
    return time.process_time() - begun


def row(found, alpha, spent, also, truth):
    """Cells of a table: PSNR, its spread over images, alpha, seconds, the rest."""
    psnr = ops.convert_to_numpy(kl.imaging.psnr(found, truth))
    each = psnr.reshape(len(psnr), -1)
    chosen = "" if alpha is None else f"{alpha:g}"
    return f"{each.mean():.2f} ± {each.std():.2f} | {chosen} | {spent:.1f} | {also}"


def compare(network, y, truth, start, adam_start, alphas, rates, boxed, fidelity=None):
    """Rows of `kl.invert` and of Adam, each at its best alpha.

    Args:
        network: what is inverted.
        y: outputs, `(batch, …)`.
        truth: images, `(batch, …)`.
        start: where `kl.invert` begins; None for 0.
        adam_start: where Adam begins.
        alphas: a few.
        rates: a few of Adam.
        boxed: whether images are in [0, 1].
        fidelity: that of `kl.invert`; None for its default.
    """

    def quality(found):
        return float(np.mean(ops.convert_to_numpy(kl.imaging.psnr(found, truth))))

    prior = R.TotalVariation() + R.Box(0.0, 1.0) if boxed else R.TotalVariation()
    inverter = kl.inversion.Inverter(network, prior, fidelity=fidelity)

    def inverted(alpha):
        return inverter(y, alpha=alpha, initial=start, verbose=0)

    results = {alpha: inverted(alpha) for alpha in alphas}
    alpha = max(results, key=lambda a: quality(results[a].x))
    best = results[alpha]
    spent = seconds(lambda: inverted(alpha))
    steps = f"{best.iterations}, {best.solver}"

    run = adam(network, boxed)
    run(adam_start, y, alphas[0], rates[0], 1)
    each = seconds(lambda: run(adam_start, y, alphas[0], rates[0], 100)) / 100
    count = max(1, round(spent / each))
    trials = {
        (a, rate): run(adam_start, y, a, rate, count) for a in alphas for rate in rates
    }
    other, rate = max(trials, key=lambda key: quality(trials[key]))
    return {
        "`kl.invert`": row(best.x, alpha, spent, steps, truth),
        "Adam": row(
            trials[other, rate], other, count * each, f"{count}, rate {rate:g}", truth
        ),
    }


def pictures():
    """A phantom and three pictures of scikit-image, `(4, 64, 64, 1)` in [0, 1]."""
    from skimage import data, transform

    rows, columns = np.mgrid[:SIDE, :SIDE]
    phantom = np.zeros((SIDE, SIDE))
    phantom[(rows - 24) ** 2 + (columns - 22) ** 2 < 12**2] = 1.0
    phantom[36:54, 34:56] = 0.6
    found = [phantom]
    for picture in (data.camera(), data.coins(), data.moon()):
        side = min(picture.shape)
        square = picture[:side, :side] / 255.0
        found.append(transform.resize(square, (SIDE, SIDE), anti_aliasing=True))
    return np.stack(found).astype("float32")[..., None]


def perceptron(noises=(0.0, 0.05)):
    """Rows of one dense layer with ReLU and random weights."""
    draw = keras.initializers.RandomNormal(stddev=1 / SIDE, seed=0)
    dense = keras.layers.Dense(OUTPUTS, "relu", kernel_initializer=draw)
    network = keras.Sequential(
        [keras.Input((SIDE, SIDE, 1)), keras.layers.Flatten(), dense]
    )
    truth = pictures()
    clean = ops.convert_to_numpy(network(truth))
    grey, rates = np.full_like(truth, 0.5), (0.003, 0.01, 0.03, 0.1)
    for noise in noises:
        y = clean + noise * np.random.default_rng(0).normal(size=clean.shape)
        fidelity = kl.inversion.LeastSquares() if noise else None
        alphas = (0.003, 0.01, 0.03) if noise else (1e-4, 3e-4, 1e-3, 3e-3)
        rows = compare(network, y, truth, None, grey, alphas, rates, False, fidelity)
        for name, each in rows.items():
            yield f"perceptron | {noise:g} | 0", name, each


def autoencoder(x):
    """An encoder of two convolutions and a dense layer, and its decoder, trained."""
    keras.utils.set_random_seed(0)
    layers, low = keras.layers, x.shape[1] // 4
    encoder = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(16, 4, 2, "same", activation="relu"),
            layers.Conv2D(32, 4, 2, "same", activation="relu"),
            layers.Flatten(),
            layers.Dense(CODE),
        ]
    )
    decoder = keras.Sequential(
        [
            keras.Input((CODE,)),
            layers.Dense(low * low * 32, activation="relu"),
            layers.Reshape((low, low, 32)),
            layers.Conv2DTranspose(16, 4, 2, "same", activation="relu"),
            layers.Conv2DTranspose(1, 4, 2, "same"),
        ]
    )
    both = keras.Sequential([keras.Input(x.shape[1:]), encoder, decoder])
    both.compile(keras.optimizers.Adam(2e-3), "mse", jit_compile=True)
    both.fit(x, x, batch_size=64, epochs=EPOCHS, verbose=0)
    return encoder, decoder


def encoded(encoder, decoder, truth, noises=(0.0, 0.1)):
    """Rows of the encoder, from 0 and from random starts."""
    clean = ops.convert_to_numpy(encoder(truth))
    rng, rates = np.random.default_rng(0), (0.03, 0.1)
    for noise in noises:
        y = clean + noise * clean.std() * rng.standard_normal(clean.shape)
        alphas = (0.003, 0.01, 0.03) if noise else (3e-5, 1e-4, 3e-4)
        for begin, copies in (("0", 1), ("random", STARTS)):
            images, codes = (np.repeat(each, copies, axis=0) for each in (truth, y))
            start = np.zeros_like(images)
            if begin == "random":
                start = rng.uniform(size=images.shape).astype("float32")
            rows = compare(encoder, codes, images, start, start, alphas, rates, True)
            for name, each in rows.items():
                yield f"encoder | {noise:g} | {begin}", name, each
        found = np.clip(ops.convert_to_numpy(decoder(y)), 0, 1)
        yield f"encoder | {noise:g} |", "decoder", row(found, None, 0.0, "", truth)


def failures(encoder, image, alpha=1e-3):
    """A sentence on one code inverted from many random starts."""
    rng = np.random.default_rng(1)
    start = rng.uniform(size=(MANY, *image.shape)).astype("float32")
    y = np.repeat(ops.convert_to_numpy(encoder(image[None])), MANY, axis=0)
    prior = R.TotalVariation() + R.Box(0.0, 1.0)
    keywords = {"alpha": alpha, "initial": start, "max_steps": FEW, "verbose": 0}
    result = kl.invert(encoder, y, prior, **keywords)
    truth = np.repeat(image[None], MANY, axis=0)
    psnr = ops.convert_to_numpy(kl.imaging.psnr(result.x, truth))
    behind = psnr < psnr.max() - 3.0
    twice = result.objective > 2.0 * result.objective.min()
    named = ~np.asarray(result.converged)
    return (
        f"Of {MANY} random starts for one code, with alpha {alpha:g} and {FEW} steps, "
        f"{behind.sum()} end more "
        f"than 3 dB below the best ({psnr.min():.2f} to {psnr.max():.2f} dB), "
        f"{twice.sum()} above twice the least objective; of these "
        f"{((behind | twice) & ~named).sum()} are called converged. The warning names "
        f"{named.sum()} that are not converged."
    )


def lines():
    """The table, and how often random starts fail."""
    begun = time.process_time()
    (train, _), (test, _) = images("fashion_mnist")
    encoder, decoder = autoencoder(train[:TRAIN])
    truth = test[:COUNT]
    table = [
        "| network | noise | start | method | PSNR (dB) | alpha | seconds | steps |",
        "|---" * 8 + "|",
    ]
    for cell, name, each in [*perceptron(), *encoded(encoder, decoder, truth)]:
        table.append(f"| {cell} | {name} | {each} |")
    sentence = failures(encoder, truth[0])
    spent = time.process_time() - begun
    return [
        *table,
        "",
        sentence,
        "",
        "The table shows mean PSNR ± its standard deviation over images (and starts), "
        "and processor seconds of all images together without compilation, for 4 "
        "pictures of "
        f"{SIDE} × {SIDE} pixels, or {COUNT} of Fashion-MNIST, {STARTS} random start "
        "each. Noise is the standard deviation, of the encoder relative to that of the "
        "codes. The perceptron's Adam starts from grey. Every alpha is the best "
        "of a few, judged by the true images, and gaps below the spread are none. "
        "All of it "
        f"took {spent:.0f} s of processor time on {keras.backend.backend()}.",
    ]
