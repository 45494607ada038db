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
from skimage import color, data, img_as_float32, io

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
SIDE, COUNT, EPOCHS = 32, 1280 if QUICK else 2560, 4 if QUICK else 6
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
clean_test = image(held_out[None, 60:316, 120:376])
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

# %% [markdown]
# ## A picture

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6))
shown = {"clean": clean_test, "noisy": noisy_test, "restored": restored}
for axis, (name, pixels) in zip(axes, shown.items(), strict=True):
    axis.imshow(pixels[0, ..., 0], cmap="gray", vmin=0, vmax=1)
    decibels = f": {quality[name][0]:.1f} dB" if name in quality else ""
    axis.set_title(name + decibels)
    axis.axis("off")
figure.savefig("restoration.png", dpi=100, bbox_inches="tight")
plt.show()
