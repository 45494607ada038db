# %% [markdown]
# # A trained network as a prior
#
# A network that removes noise knows what pictures look like. In the place of a
# regularizer it restores what it was not trained for: blurred, incomplete and small
# pictures (plug-and-play).

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage import color, data, img_as_float32

import keras_lifted as kl

keras.utils.set_random_seed(0)

# %% [markdown]
# ## A denoiser that iterations can trust
# Patches of four photographs, with a little noise, and a proximal network of five
# steps. The scheme "averaged" makes the network firmly nonexpansive whatever its
# weights are, so that the iteration below converges.

# %%
SIDE, COUNT = 32, 1280
rng = np.random.default_rng(0)
pictures = [
    img_as_float32(color.rgb2gray(getattr(data, name)()))
    for name in ("astronaut", "coffee", "rocket", "chelsea")
]


def patch():
    picture = pictures[rng.integers(len(pictures))]
    top, left = (rng.integers(size - SIDE + 1) for size in picture.shape)
    return picture[top : top + SIDE, left : left + SIDE, None]


clean = np.stack([patch() for _ in range(COUNT)])
noisy = kl.imaging.GaussianNoise(5 / 255, seed=1)(clean)
network = kl.models.proximal_network(
    (None, None, 1), filters=8, steps=5, scheme="averaged", threshold=0.01
)
network.compile(keras.optimizers.Adam(3e-3), "mse")
network.fit(noisy, clean, batch_size=32, epochs=3, verbose=0)
prior = kl.regularizers.Denoiser(network)
print("expansion, at most 1:", np.asarray(prior.expansion(clean[:2], 5)).round(3))

# %% [markdown]
# ## Three tasks, one prior
# A picture that the network has not seen is blurred, loses pixels, or is measured at
# half its size; each measurement has noise of standard deviation 0.02. The network has
# no weight to choose: the noise that it was trained to remove decides. Total variation
# is the prior that needs no training.

# %%
picture = img_as_float32(data.camera())[None, 80:176, 200:296, None]
mask = (rng.random(picture.shape[1:3]) > 0.4).astype("float32")
tasks = {
    "deblurring": kl.imaging.GaussianBlur(1.5),
    "inpainting": kl.imaging.Mask(mask),
    "super-resolution": kl.imaging.Downsample(2, filter="bicubic"),
}


def restore(operator, y, regularizer, **keywords):
    result = kl.invert(
        operator,
        y,
        regularizer,
        input_shape=picture.shape[1:],
        tolerance=1e-2,
        verbose=0,
        **keywords,
    )
    return result.x, float(kl.imaging.psnr(result.x, picture)[0])


panels = {}
for name, operator in tasks.items():
    y = np.asarray(operator(picture))
    y = y + 0.02 * rng.standard_normal(y.shape).astype("float32")
    smooth, by_variation = restore(
        operator, y, kl.regularizers.TotalVariation(), alpha=0.02
    )
    learned, by_network = restore(operator, y, prior, max_steps=100)
    print(f"{name}: variation {by_variation:.2f} dB, network {by_network:.2f} dB")
    panels[name] = y
    panels[f"total variation: {by_variation:.1f} dB"] = smooth
    panels[f"network: {by_network:.1f} dB"] = learned
    assert min(by_variation, by_network) > 20

# %% [markdown]
# ## A picture
# Each row shows a measurement and two restorations of it.

# %%
figure, axes = plt.subplots(3, 3, figsize=(8, 8.6))
for axis, (title, pixels) in zip(axes.flat, panels.items(), strict=True):
    axis.imshow(pixels[0, ..., 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=9)
    axis.axis("off")
figure.savefig("trained_prior.png", dpi=100, bbox_inches="tight")
plt.show()
