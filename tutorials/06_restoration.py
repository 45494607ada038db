# %% [markdown]
# # Restoring natural images
#
# A small proximal network learns to remove noise from natural images, by lifted
# training. The images are pictures that come with scikit-image, or those of a folder
# that the script is given: `python tutorials/06_restoration.py FOLDER`.

# %%
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage import color
from skimage import data
from skimage import img_as_float32
from skimage import io

import keras_lifted as kl

keras.utils.set_random_seed(0)
QUICK = bool(os.environ.get("KERAS_LIFTED_DIGITS"))

# %% [markdown]
# ## Pictures
# Grey values in [0, 1]. The first picture is kept for the test.


# %%
def grey(picture):
    picture = img_as_float32(picture)
    return color.rgb2gray(picture[..., :3]) if picture.ndim == 3 else picture


folder = pathlib.Path(sys.argv[-1])
if folder.is_dir():
    files = sorted(folder.iterdir())
    pictures = [
        grey(io.imread(file))
        for file in files
        if file.suffix.lower() in (".png", ".jpg", ".jpeg")
    ]
else:
    names = ("camera", "astronaut", "coffee", "coins", "rocket", "chelsea")
    pictures = [grey(getattr(data, name)()) for name in names]
held_out, *pictures = pictures
print(f"{len(pictures)} pictures to learn from, the test has {held_out.shape} pixels")

# %% [markdown]
# Patches at random places, and their noisy copies. The noise is not clipped.

# %%
SIDE, COUNT, EPOCHS = 32, 1280 if QUICK else 2560, 4 if QUICK else 8
rng = np.random.default_rng(0)


def patch():
    picture = pictures[rng.integers(len(pictures))]
    top, left = (rng.integers(size - SIDE + 1) for size in picture.shape)
    return picture[top : top + SIDE, left : left + SIDE]


def image(pixels):
    return pixels[..., None].astype("float32")


noise = kl.imaging.GaussianNoise(25 / 255, seed=0)
clean = image(np.stack([patch() for _ in range(COUNT)]))
noisy = noise(clean)
clean_test = image(held_out[None, :256, :256])
noisy_test = noise(clean_test)

# %% [markdown]
# ## A network of proximal steps
# Five steps of an algorithm for `min_x ½‖x − z‖² + λ‖L x‖₁` whose operators `L_k` and
# thresholds `λ_k` are learned. All dual variables are lifted. `SteepestDescent` moves
# the operators as matrices, and hands the thresholds to its fallback, Adam. The network
# is convolutional: it learns from patches and restores pictures of any size.

# %%
model = kl.models.proximal_network((None, None, 1), filters=8, steps=5)
model.compile(
    kl.optimizers.SteepestDescent(),
    "mse",
    metrics=[kl.imaging.PSNR(), kl.imaging.SSIM()],
)
history = model.fit(noisy, clean, batch_size=64, epochs=EPOCHS, verbose=0).history
print("PSNR of each epoch:", np.round(history["psnr"], 2))

# %% [markdown]
# ## How well does it do?
# On the picture that it has not seen:

# %%
restored = model.predict(noisy_test, verbose=0)
quality = {
    name: (
        float(kl.imaging.psnr(images, clean_test)[0]),
        float(kl.imaging.ssim(images, clean_test)[0]),
    )
    for name, images in (("noisy", noisy_test), ("restored", restored))
}
for name, (psnr, ssim) in quality.items():
    print(f"{name}: PSNR {psnr:.2f} dB, SSIM {ssim:.3f}")
assert quality["restored"][0] > quality["noisy"][0] + 3
assert quality["restored"][1] > quality["noisy"][1]

_, axes = plt.subplots(1, 3, figsize=(10, 3.5))
shown = {"clean": clean_test, "noisy": noisy_test, "restored": restored}
for axis, (name, each) in zip(axes, shown.items(), strict=True):
    axis.imshow(np.asarray(each)[0, ..., 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(name)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## The network as a prior
# The same network can restore what it was not trained for: in the place of a proximal
# map it says what pictures look like, and a blur or a mask says what was measured. The
# "averaged" network is firmly nonexpansive, so that plug-and-play converges. One as
# small as this, trained for seconds, is behind total variation on this picture.

# %%
prior = kl.models.proximal_network((None, None, 1), 8, 5, scheme="averaged")
prior.compile(keras.optimizers.Adam(2e-3), "mse")
weak = kl.imaging.GaussianNoise(2 / 255, seed=1)
prior.fit(weak(clean), clean, batch_size=64, epochs=EPOCHS // 2, verbose=0)
denoiser = kl.regularizers.Denoiser(prior)
print("expansion, at most 1:", np.asarray(denoiser.expansion(clean[:2], 5)).round(3))

side = 96
picture = clean_test[:, 64 : 64 + side, 64 : 64 + side]
rng = np.random.default_rng(2)
mask = (rng.random((side, side)) > 0.4).astype("float32")
tasks = {
    "deblurring": kl.imaging.GaussianBlur(1.5),
    "inpainting": kl.imaging.Mask(mask),
    "super-resolution": kl.imaging.Downsample(2, filter="bicubic"),
}
panels = {"clean": clean_test}
for (name, (psnr, _)), pixels in zip(
    quality.items(), (noisy_test, restored), strict=True
):
    panels[f"{name}: {psnr:.1f} dB"] = pixels
for name, operator in tasks.items():
    y = np.asarray(operator(picture))
    y = y + 0.02 * rng.standard_normal(y.shape).astype("float32")
    keywords = {"input_shape": picture.shape[1:], "tolerance": 1e-2, "verbose": 0}
    tv = kl.invert(
        operator, y, kl.regularizers.TotalVariation(), alpha=0.02, **keywords
    )
    found = kl.invert(operator, y, denoiser, max_steps=100, **keywords)
    decibels = [float(kl.imaging.psnr(each.x, picture)[0]) for each in (tv, found)]
    print(f"{name}: total variation {decibels[0]:.2f} dB, network {decibels[1]:.2f} dB")
    assert np.isfinite(found.x).all()
    panels[f"{name}, variation: {decibels[0]:.1f} dB"] = tv.x
    panels[f"{name}, network: {decibels[1]:.1f} dB"] = found.x

# %% [markdown]
# ## A picture

# %%
try:
    import matplotlib.pyplot as plt
except ImportError:
    print("No matplotlib: no picture.")
else:
    figure, axes = plt.subplots(3, 3, figsize=(9, 10))
    for axis, (title, pixels) in zip(axes.flat, panels.items(), strict=True):
        axis.imshow(pixels[0, ..., 0], cmap="gray", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.savefig("restoration.png", dpi=100, bbox_inches="tight")
