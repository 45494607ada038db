# %% [markdown]
# # A deep network that Adam hardly learns
#
# `SteepestDescent` moves every kernel, with its bias, as one matrix, along the
# direction that is steepest in a norm of matrices: its *geometry*. Here a network of
# six sigmoid layers, with Keras's default initialisation and no normalisation, is
# trained by Adam and in each geometry, on Fashion-MNIST, or offline on scikit-learn's
# digits.

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_lifted as kl


def data() -> tuple[np.ndarray, np.ndarray]:
    """Images as rows in [0, 1], and labels."""
    if not os.environ.get("KERAS_LIFTED_DIGITS"):
        try:
            import tensorflow_datasets as tfds

            split = tfds.as_numpy(
                tfds.load("fashion_mnist", split="train[:12000]", batch_size=-1)
            )
            return split["image"].reshape(-1, 784) / np.float32(255), split["label"]
        except Exception as error:
            print(f"No Fashion-MNIST ({type(error).__name__}): digits instead.")
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.data.astype("float32") / 16, digits.target


x, y = data()
split = len(x) * 5 // 6

# %% [markdown]
# ## A model that is hard to train
# Every sigmoid layer shrinks what comes through it, forwards and backwards: the
# first layers see a gradient a thousandth the size of the last one's.


# %%
def build() -> kl.LiftedModel:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((x.shape[1],))
    h = inputs
    for _ in range(6):
        h = keras.layers.Dense(128, activation="sigmoid")(h)
    return kl.LiftedModel(inputs, keras.layers.Dense(10, name="out")(h))


def train(optimizer: str | keras.optimizers.Optimizer) -> list[float]:
    """Test accuracy after each of six epochs."""
    model = build()
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    test = (x[split:], y[split:])
    history = model.fit(
        x[:split], y[:split], 32, epochs=6, verbose=0, validation_data=test
    )
    return history.history["val_accuracy"]


# %% [markdown]
# ## Three geometries
# "frobenius" moves a kernel along its mean gradient, by a length that depends on the
# shape of the kernel alone. "spectral" makes all singular values of that step alike, so
# that directions which the gradient hardly shows move as far as the others.
# "kronecker", the default, first divides the gradient by the roots of its covariances
# on both sides: what varies little, here the almost constant outputs of the sigmoids,
# counts as much as what varies a lot. The learning rate is the length of a step; its
# default depends on the depth, and it falls to zero over the epochs of `fit`.

# %%
geometries = ("frobenius", "spectral", "kronecker")
optimizers = {name: kl.optimizers.SteepestDescent(geometry=name) for name in geometries}
accuracy = {name: train(optimizer) for name, optimizer in optimizers.items()}
accuracy["adam"] = train("adam")
for name, values in accuracy.items():
    print(f"{name}: test accuracy {values[-1]:.3f}")
    plt.plot(range(1, 7), values, label=name)
plt.xlabel("epoch")
plt.ylabel("test accuracy")
plt.legend()
plt.show()

# %% [markdown]
# ## What moves how
# What is not a kernel, such as an embedding or the gain of a normalisation, is moved
# by `fallback`, an ordinary Keras optimizer. Here every variable is part of a kernel.

# %%
for variable, geometry in list(optimizers["kronecker"].chosen_geometries().items())[:2]:
    print(f"{variable}: {geometry}")

# %% [markdown]
# ## Any Keras model
# It reads gradients and the loss alone, so that `keras.Model` takes it too; the
# callback tells it how many steps there will be.

# %%
single = keras.Sequential([keras.Input((x.shape[1],)), keras.layers.Dense(10)])
single.compile(
    kl.optimizers.SteepestDescent(),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
plan = kl.callbacks.PlanFit()
single.fit(x[:split], y[:split], epochs=2, verbose=0, callbacks=[plan])
value = single.evaluate(x[split:], y[split:], verbose=0, return_dict=True)["accuracy"]
print(f"one layer, by backpropagation: test accuracy {value:.3f}")
