# %% [markdown]
# # Images from the codes of an encoder
#
# An autoencoder learns a code of images and a decoder back from it. `kl.invert` needs
# no decoder: it looks for an image whose code is the given one, with little total
# variation. Both are compared here, with codes as they are and with noise.

# %%
import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_lifted as kl

keras.utils.set_random_seed(0)

# %% [markdown]
# ## Data
# Fashion-MNIST through TensorFlow Datasets; the digits of scikit-learn where it
# cannot be loaded, or at once where the environment variable KERAS_LIFTED_DIGITS is
# set.


# %%
def load_data():
    if not os.environ.get("KERAS_LIFTED_DIGITS"):
        try:
            import tensorflow_datasets as tfds

            splits = tfds.load(
                "fashion_mnist", split=["train[:10000]", "test[:8]"], batch_size=-1
            )
            return [tfds.as_numpy(split)["image"] / 255 for split in splits]
        except Exception as error:
            print(f"No Fashion-MNIST here ({type(error).__name__}): using digits.")
    from sklearn.datasets import load_digits

    x = load_digits().images[..., None] / 16
    return x[:1500], x[-8:]


x, images = (part.astype("float32") for part in load_data())
side = x.shape[1]
print(f"{len(x)} training images of {side} × {side} pixels")

# %% [markdown]
# ## An autoencoder
# Two convolutions of stride 2 and a dense layer; the decoder mirrors them. It is
# trained by lifting, too.

# %%
CODE = 300 if side == 28 else 48
low = side // 4
encoder = keras.Sequential(
    [
        keras.Input(x.shape[1:]),
        keras.layers.Conv2D(16, 4, 2, "same", activation="relu", name="first"),
        keras.layers.Conv2D(32, 4, 2, "same", activation="relu", name="second"),
        keras.layers.Flatten(),
        keras.layers.Dense(CODE),
    ]
)
decoder = keras.Sequential(
    [
        keras.Input((CODE,)),
        keras.layers.Dense(low * low * 32, activation="relu"),
        keras.layers.Reshape((low, low, 32)),
        keras.layers.Conv2DTranspose(16, 4, 2, "same", activation="relu"),
        keras.layers.Conv2DTranspose(1, 4, 2, "same"),
    ]
)
inputs = keras.Input(x.shape[1:])
autoencoder = kl.LiftedModel(inputs, decoder(encoder(inputs)))
autoencoder.compile(keras.optimizers.Adam(2e-3), "mse", jit_compile=True)
autoencoder.fit(x, x, batch_size=64, epochs=5, verbose=0)

# %% [markdown]
# ## Invert it
# All codes at once. Total variation and the range of pixels are all that `invert`
# knows about images; the decoder knows the training images. With several blocks
# `invert` takes the nested problem by itself.

# %%
tv = kl.regularizers.TotalVariation() + kl.regularizers.Box(0.0, 1.0)
invert = kl.inversion.Inverter(encoder, tv)
warnings.filterwarnings("ignore", message="The inversion did not converge")


def psnr(found):
    return float(np.mean(kl.imaging.psnr(found, images)))


codes = encoder.predict(images, verbose=0)
exact = invert(codes, alpha=2e-3, max_steps=1000)
decoded = np.clip(decoder.predict(codes, verbose=0), 0, 1)
print(f"{exact.solver}: inverse {psnr(exact.x):.1f} dB, decoder {psnr(decoded):.1f} dB")
print(f"distance from the codes {exact.data_residual.mean():.3f}")

# %% [markdown]
# ## Codes with noise
# Now the regularizer has more to do, and `alpha` is larger. The discrepancy principle
# finds it from the noise, with several inversions.

# %%
noise = 0.1 * codes.std()
noisy = codes + noise * np.random.default_rng(0).standard_normal(codes.shape)
restored = invert(noisy, noise_std=noise, max_steps=300)
decoded_noisy = np.clip(decoder.predict(noisy, verbose=0), 0, 1)
print(f"noise: inverse {psnr(restored.x):.1f} dB, decoder {psnr(decoded_noisy):.1f} dB")
print("alpha of each image:", restored.alpha.round(3))
assert psnr(exact.x) > psnr(restored.x)

# %% [markdown]
# ## A picture

# %%
rows = {
    "image": images,
    "inverse": exact.x,
    "decoder": decoded,
    "inverse, noise": restored.x,
    "decoder, noise": decoded_noisy,
}
_, axes = plt.subplots(len(rows), len(images), figsize=(8, 5.5))
for line, (title, row) in zip(axes, rows.items(), strict=True):
    for axis, image in zip(line, row, strict=True):
        axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
    decibels = "" if row is images else f"\n{psnr(row):.1f} dB"
    line[0].set_ylabel(title + decibels, fontsize=8)
plt.show()
