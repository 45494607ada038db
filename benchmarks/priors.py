"""Plug-and-play with small networks beside total variation, on four tasks.

Two networks learn to remove noise of 5/255 from patches: the "averaged" proximal
network of 20 steps, firmly nonexpansive by construction, and a convolutional network
that nothing constrains. Both are priors of `kl.invert`; all data have noise 0.02. The
alpha of total variation is the best of a grid, judged by the truth.
"""

import itertools
import pathlib
import time

import keras
import numpy as np
from keras import layers, ops
from skimage import io

import keras_lifted as kl

SIDE, NOISE, ALPHAS = 128, 0.02, (0.005, 0.01, 0.02, 0.04)
STEPS, SHOWN = 300, (10, 30, 100, 300)


class Undersampled(layers.Layer):
    """The Fourier transform of real pictures on a quarter of its rows, two channels."""

    def __init__(self, seed=0):
        super().__init__()
        kept = np.abs(np.fft.fftfreq(SIDE)) < 0.04
        others = np.random.default_rng(seed).permutation(np.flatnonzero(~kept))
        kept[others[: SIDE // 4 - kept.sum()]] = True
        self.rows = kept.astype("float32").reshape(1, -1, 1)

    def call(self, x):
        real, imaginary = ops.fft2((x[..., 0], ops.zeros_like(x[..., 0])))
        return ops.stack([self.rows * real, self.rows * imaginary], -1) / SIDE


def tasks():
    """Name -> what is measured."""
    mask = np.random.default_rng(1).random((SIDE, SIDE)) > 0.4
    return {
        "deblurring": kl.imaging.GaussianBlur(1.5),
        "×2 super-resolution": kl.imaging.Downsample(2, filter="bicubic"),
        "inpainting, 40 % lost": kl.imaging.Mask(mask.astype("float32")),
        "MRI, 4× accelerated": Undersampled(),
    }


def pictures(folder):
    """Grey pictures in [0, 1], in the order of their names."""
    for file in sorted(pathlib.Path(folder).glob("*.png")):
        yield io.imread(file, as_gray=True).astype("float32") / np.float32(255.0)


def convolutional():
    """A network of six convolutions that predicts the noise."""
    inputs = x = keras.Input((None, None, 1))
    for _ in range(5):
        x = layers.Conv2D(24, 3, padding="same", activation="relu")(x)
    noise = layers.Conv2D(1, 3, padding="same")(x)
    return keras.Model(inputs, layers.Subtract()([inputs, noise]))


def trained(model, folder, steps):
    """Train for so many steps of Adam; return the PSNR of the last patches."""
    rng = np.random.default_rng(0)
    images, batch = list(pictures(folder)), 16

    def patch():
        image = images[rng.integers(len(images))]
        top, left = (rng.integers(size - 40 + 1) for size in image.shape)
        return image[top : top + 40, left : left + 40, None]

    clean = np.stack([patch() for _ in range(batch * steps)])
    noisy = clean + 5 / 255 * rng.standard_normal(clean.shape).astype("float32")
    rate = keras.optimizers.schedules.CosineDecay(3e-3, steps)
    model.compile(keras.optimizers.Adam(rate), "mse", jit_compile=True)
    model.fit(noisy, clean, batch_size=batch, verbose=0)
    found = model.predict(noisy[-64:], verbose=0)
    return float(np.mean(kl.imaging.psnr(found, clean[-64:])))


def table(images, networks):
    """PSNR of every prior and task, and how the residuals of the networks went."""
    names = ["total variation", *networks]
    quality = [
        "| task | data | " + " | ".join(names) + " |",
        "|---" * (2 + len(names)) + "|",
    ]
    curves = [
        "| task | prior | "
        + " | ".join(f"step {step}" for step in SHOWN)
        + " | checks at which it grew |",
        "|---" * (3 + len(SHOWN)) + "|",
    ]
    shape = images.shape[1:]
    keywords = {"max_steps": STEPS, "tolerance": 0, "verbose": 0}
    for name, operator in tasks().items():
        rng = np.random.default_rng(2)
        y = np.asarray(operator(images))
        y = (y + NOISE * rng.standard_normal(y.shape)).astype("float32")

        def psnr(x):
            return float(np.mean(kl.imaging.psnr(x, images)))

        variation = kl.regularizers.TotalVariation()
        inverter = kl.inversion.Inverter(operator, variation, input_shape=shape)
        scores = [max(psnr(inverter(y, alpha=a, **keywords).x) for a in ALPHAS)]
        for prior, network in networks.items():
            denoiser = kl.regularizers.Denoiser(network)
            inverter = kl.inversion.Inverter(operator, denoiser, input_shape=shape)
            result = inverter(y, check_every=10, **keywords)
            scores.append(psnr(result.x))
            history = result.history["residual"]
            at = [result.history["iteration"].tolist().index(s) for s in SHOWN]
            shown = " | ".join(f"{history[k].mean():.1e}" for k in at)
            grew = (np.diff(history, axis=0) > 1e-4 * history[:-1]).sum()
            total = history[1:].size
            curves.append(f"| {name} | {prior} | {shown} | {grew} of {total} |")
        raw = f"{psnr(y):.2f}" if y.shape == images.shape else ""
        each = " | ".join(f"{score:.2f}" for score in scores)
        quality.append(f"| {name} | {raw} | {each} |")
        print(quality[-1], *curves[-2:], sep="\n", flush=True)
    return [*quality, "", *curves]


def lines(folder, count=6, steps=400):
    """PSNR and residuals, and how the networks were trained.

    Args:
        folder: holds `train400` and `bsd68`.
        count: pictures of the test.
        steps: of training.
    """
    keras.utils.set_random_seed(0)
    folder = pathlib.Path(folder)
    proximal = kl.models.proximal_network(
        (None, None, 1), 16, 20, scheme="averaged", threshold=0.01, cls=keras.Model
    )
    models = {"averaged proximal network": proximal, "plain network": convolutional()}
    notes = []
    for name, model in models.items():
        begun = time.process_time()
        found = trained(model, folder / "train400", steps)
        spent = time.process_time() - begun
        patches = next(iter(pictures(folder / "bsd68")))[None, :64, :64, None]
        expansion = float(np.max(kl.regularizers.Denoiser(model).expansion(patches)))
        notes.append(
            f"* {name}: {model.count_params()} weights, {steps} steps of training in "
            f"{spent:.0f} s of processor time, {found:.2f} dB where the noise has "
            f"34.15 dB, expansion {expansion:.3f}."
        )
        print(notes[-1], flush=True)
    crops = []
    for picture in itertools.islice(pictures(folder / "bsd68"), count):
        top, left = ((size - SIDE) // 2 for size in picture.shape)
        crops.append(picture[top : top + SIDE, left : left + SIDE])
    said = (
        f"The first table shows the mean PSNR of {count} pictures of BSD68, {SIDE} × "
        f"{SIDE} pixels, after {STEPS} steps, the second mean relative residuals."
    )
    return [*table(np.stack(crops)[..., None], models), "", said, "", *notes]
