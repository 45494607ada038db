"""Proximal steps of the weights: a deep network that Adam hardly learns.

    python tutorials/03_geometries.py

Given the lifted variables, the weight blocks of a network are independent of each
other, so each may take the proximal step whose geometry suits it. `ISGM` does that.
Here a network of six sigmoid layers, with Keras's default initialisation and no
normalisation, is trained by Adam and by `ISGM()`, on Fashion-MNIST, or offline on
scikit-learn's digits. It runs in about a minute.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
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

# 1. A model that is hard to train
#
# Every sigmoid layer shrinks what comes through it, forwards and backwards: the
# first layers see a gradient a thousandth the size of the last one's.


def build() -> kl.LiftedModel:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((x.shape[1],))
    h = inputs
    for _ in range(6):
        h = keras.layers.Dense(128, activation="sigmoid")(h)
    return kl.LiftedModel(inputs, keras.layers.Dense(10, name="out")(h))


def train(optimizer: str | keras.optimizers.Optimizer) -> float:
    """Test accuracy after six epochs."""
    model = build()
    model.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=True,
    )
    model.fit(x[:split], y[:split], batch_size=32, epochs=6, verbose=0)
    return model.evaluate(x[split:], y[split:], verbose=0, return_dict=True)["accuracy"]


# 2. Two weight steps
#
# `ISGM()` needs no learning rate: it is the relative size of each kernel's step, and
# it decays over the epochs of `fit`. Its default geometry, Kronecker, measures a step
# in the covariances of the layer's inputs and of its gradient, each about its mean:
# what varies little, here the almost constant outputs of the sigmoids, counts as much
# as what varies a lot.

isgm = kl.optimizers.ISGM()
accuracy = {"adam": train("adam"), "isgm": train(isgm)}
for name, value in accuracy.items():
    print(f"{name}: test accuracy {value:.3f}")

# 3. What it chose, and choosing by layer

for variable, geometry in list(isgm.chosen_geometries().items())[:2]:
    print(f"{variable}: {geometry}")

by_layer = kl.optimizers.ISGM(
    geometry={"out": kl.geometries.Covariance(damping=0.1), "default": "kronecker"}
)
print(f"covariance steps in the last layer: test accuracy {train(by_layer):.3f}")
