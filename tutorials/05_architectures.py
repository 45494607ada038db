# %% [markdown]
# # Networks to start from
#
# `kl.models` has builders of networks whose activations are all proximal maps, so all
# of them are lifted. Here one of them classifies, one compresses and one denoises,
# each trained by lifting.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import keras_lifted as kl

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
x, y, x_test, y_test = x[:1500], y[:1500], x[1500:], y[1500:]


def sweep(rate):
    return kl.optimizers.BlockCoordinateDescent(keras.optimizers.Adam(rate))


# %% [markdown]
# ## One network, two ways to train
# Every builder takes `cls`. `keras.Model` gives the same network without lifting, so a
# comparison needs no second definition. The transformer reads an image as eight
# tokens, its rows. Attention and normalisation stay within a block; the perceptrons'
# activations are lifted.

# %%
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
rows, rows_test = x[..., 0], x_test[..., 0]
for cls in (keras.Model, kl.LiftedModel):
    keras.utils.set_random_seed(0)
    model = kl.models.transformer_encoder((8, 8), 10, blocks=1, width=32, cls=cls)
    adam = keras.optimizers.Adam(3e-3)
    optimizer = adam if cls is keras.Model else sweep(3e-3)
    model.compile(optimizer, loss, metrics=["accuracy"])
    model.fit(rows, y, batch_size=100, epochs=8, verbose=0)
    accuracy = model.evaluate(rows_test, y_test, verbose=0, return_dict=True)
    print(f"transformer, {cls.__name__}: accuracy {accuracy['accuracy']:.1%}")
    assert accuracy["accuracy"] > 0.8
print([block.name for block in model.lifted_blocks])

# %% [markdown]
# ## A sparse code
# The code of this autoencoder is a soft threshold, the proximal map of `λ‖·‖₁`: many
# of its entries are exactly zero.

# %%
keras.utils.set_random_seed(0)
autoencoder = kl.models.sparse_autoencoder(
    x.shape[1:], code=32, units=(128, 64, 128), threshold=0.6
)
autoencoder.compile(sweep(3e-3), "mse")
autoencoder.fit(x, x, batch_size=100, epochs=12, verbose=0)
encoder = keras.Model(autoencoder.inputs, autoencoder.get_layer("code").output)
code = encoder.predict(x_test, verbose=0)
error = autoencoder.evaluate(x_test, x_test, verbose=0, return_dict=True)["loss"]
print(f"autoencoder: error {error:.4f}, {(code == 0).mean():.0%} of the code is 0")
assert error < 0.5 * x.var() and (code == 0).mean() > 0.1

# %% [markdown]
# ## A network that solves a problem
# With one operator for all steps and nothing learned yet, the proximal network is an
# algorithm for `min_x ½‖x − z‖² + λ‖L x‖₁`, and more steps come closer to its
# solution. All three schemes go to the same point.

# %%
noise = np.random.default_rng(0)


def corrupted(clean):
    return clean + noise.normal(0, 0.2, clean.shape).astype("float32")


z, z_test = corrupted(x), corrupted(x_test)


def after(steps, scheme):
    """What the untrained network makes of ten images."""
    keras.utils.set_random_seed(0)
    network = kl.models.proximal_network(
        (8, 8, 1), filters=4, steps=steps, scheme=scheme, shared=True, cls=keras.Model
    )
    return keras.ops.convert_to_numpy(network(z_test[:10]))


solution = after(60, "accelerated")
for scheme in ("forward_backward", "accelerated", "chambolle_pock"):
    distances = [np.abs(after(steps, scheme) - solution).max() for steps in (5, 20)]
    print(
        f"{scheme}: {distances[0]:.1e} from it after 5 steps, {distances[1]:.1e} at 20"
    )
    assert distances[1] < distances[0]

# %% [markdown]
# ## A network that learns to denoise
# Training moves operators and thresholds away from the algorithm, towards the data:
# few steps are enough then. Every dual variable `u_k` is a lifted variable.

# %%
keras.utils.set_random_seed(0)
denoiser = kl.models.proximal_network((8, 8, 1), filters=8, steps=4)
denoiser.compile(sweep(5e-3), "mse")
denoiser.fit(z, x, batch_size=100, epochs=10, verbose=0)
denoised = denoiser.predict(z_test, verbose=0)
before, result = (
    float(np.mean(kl.imaging.psnr(images, x_test))) for images in (z_test, denoised)
)
thresholds = [w.numpy() for w in denoiser.trainable_weights if w.name == "threshold"]
print(f"denoiser: {before:.1f} dB before, {result:.1f} dB after")
print("thresholds", np.round(thresholds, 3))
assert result > before + 1

# %% [markdown]
# ## A picture
# From the top: clean digits, noisy ones, and what the network makes of them.

# %%
_, axes = plt.subplots(3, 8, figsize=(8, 3.2))
for line, images in zip(axes, (x_test, z_test, denoised), strict=True):
    for axis, image in zip(line, images, strict=False):
        axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=1)
        axis.axis("off")
plt.show()
