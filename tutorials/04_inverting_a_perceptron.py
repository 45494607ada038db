# %% [markdown]
# # An image from 512 activations
#
# A perceptron, one dense layer with ReLU, maps an image of 64 × 64 pixels to 512
# numbers, about half of them 0. `kl.invert` recovers the image from them, with total
# variation as what it knows about images.

# %%
import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_lifted as kl

keras.utils.set_random_seed(0)
SIDE, OUTPUTS = 64, 512

# %% [markdown]
# ## An image and a network


# %%
def phantom() -> np.ndarray:
    """A disc and a square, `(1, 64, 64, 1)`."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    image = np.zeros((1, SIDE, SIDE, 1), "float32")
    image[0, (rows - 24) ** 2 + (columns - 22) ** 2 < 12**2] = 1.0
    image[0, 36:54, 34:56] = 0.6
    return image


network = keras.Sequential(
    [
        keras.Input((SIDE, SIDE, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(
            OUTPUTS,
            activation="relu",
            kernel_initializer=keras.initializers.RandomNormal(stddev=1 / SIDE),
        ),
    ]
)
clean = phantom()
y = network.predict(clean, verbose=0)
print(f"{(y > 0).mean():.0%} of the {OUTPUTS} outputs are not 0")


def psnr(x: np.ndarray) -> float:
    return float(kl.imaging.psnr(x, clean)[0])


# %% [markdown]
# ## Invert
# There are eight times as many pixels as outputs, so infinitely many images explain
# them. `invert` takes the one that also has a small total variation:
#
#     min_u  F(y) + F*(W u + b) − ⟨y, W u + b⟩ + alpha · TV(u)
#
# The first three terms are the Bregman penalty of lifted training, with the output
# fixed to the data. It is convex, where ½‖relu(W u + b) − y‖² is not, and its gradient
# is Wᵀ(relu(W u + b) − y): no derivative of the ReLU.

# %%
tv = kl.regularizers.TotalVariation()
exact = kl.invert(network, y, tv, alpha=2.5e-3, max_steps=1500)
print(f"clean data: {psnr(exact.x):.1f} dB after {exact.iterations} steps")
print(
    f"objective {exact.objective[0]:.4f}, at most {exact.certificate[0]:.1e} above "
    "its minimum"
)
assert exact.converged and psnr(exact.x) > 30

# %% [markdown]
# ## Noise
# Noise in the outputs asks for more regularisation. Say how much noise there is, and
# `alpha` follows: the one that leaves a residual of the noise's size (the discrepancy
# principle). The noise lies behind the ReLU, so that some outputs are negative:
# `invert` compares them by least squares. It starts at 0, where all units are silent
# and have no derivative. So the first steps are lifted ones, and those after them are
# not. The theorem's rule is for the convex fidelity, into whose range the outputs are
# projected.

# %%
std = 0.05
# The kinks of ReLU keep the residual above the tolerance here.
warnings.filterwarnings("ignore", message="The inversion did not converge")
noisy = y + std * np.random.default_rng(0).normal(size=y.shape)
found = kl.invert(network, noisy, tv, noise_std=std)
by_rule = kl.invert(
    network, noisy, tv, noise_std=std, alpha_rule="theorem", out_of_range="project"
)
for name, result in (("discrepancy", found), ("theorem", by_rule)):
    print(
        f"noise {std}, {name}: alpha {result.alpha[0]:.4f}, {psnr(result.x):.1f} dB, "
        f"residual {result.data_residual[0]:.2f}, of the noise "
        f"{result.noise_residual[0]:.2f}"
    )
assert psnr(found.x) > psnr(by_rule.x)

# %% [markdown]
# ## What else is known
# Regularizers add up. Here the pixels are known to lie in [0, 1], too.

# %%
both = tv + kl.regularizers.Box(0.0, 1.0)
boxed = kl.invert(network, noisy, both, noise_std=std)
print(f"noise {std}, in [0, 1]: {psnr(boxed.x):.1f} dB")
assert 0 <= boxed.x.min() and boxed.x.max() <= 1

# %% [markdown]
# ## A picture

# %%
results = {"clean": exact, "noise": found, "noise, in [0, 1]": boxed}
titles = {f"{name}: {psnr(each.x):.1f} dB": each.x for name, each in results.items()}
_, axes = plt.subplots(1, 4, figsize=(11, 3))
for axis, (title, image) in zip(axes, [("image", clean), *titles.items()], strict=True):
    axis.imshow(image[0, ..., 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=9)
    axis.axis("off")
plt.show()
