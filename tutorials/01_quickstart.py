# %% [markdown]
# # Lifted training in ten minutes
#
# A lifted model is an ordinary Keras model that trains by lifting. Every hidden
# activation that is a proximal map becomes a *lifted variable* `x`, and a penalty
# `w P(x, z)` ties it to the pre-activation `z` of its block. Given these, every block
# learns from its own input and its own target.

# %%
import os
import pathlib
import tempfile

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
# set (offline, TensorFlow Datasets takes minutes to give up). Small parts are enough.


# %%
def load_data():
    if not os.environ.get("KERAS_LIFTED_DIGITS"):
        try:
            import tensorflow_datasets as tfds

            splits = tfds.load(
                "fashion_mnist",
                split=["train[:10000]", "test[:2000]"],
                batch_size=-1,
                as_supervised=True,
            )
            (x, y), (x_test, y_test) = map(tfds.as_numpy, splits)
            return x / 255, y, x_test / 255, y_test
        except Exception as error:
            print(f"No Fashion-MNIST here ({type(error).__name__}): using digits.")
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return x[:1500] / 16, y[:1500], x[1500:] / 16, y[1500:]


x, y, x_test, y_test = load_data()
x, x_test = (a.reshape(len(a), -1).astype("float32") for a in (x, x_test))
print(f"{len(x)} training images of {x.shape[1]} pixels")

# %% [markdown]
# ## Swap in a lifted model
# Take any Keras model, and build `LiftedModel` from its inputs and outputs. Both
# share the layers and the weights; activations such as "relu" are recognised.


# %%
def network(activation):
    return keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(128, activation=activation("first"), name="dense_1"),
            keras.layers.Dense(128, activation=activation("second"), name="dense_2"),
            keras.layers.Dense(10, name="logits"),
        ]
    )


reference = network(lambda name: "relu")
model = kl.LiftedModel(reference.inputs, reference.outputs)

# %% [markdown]
# `compile` and `fit` are Keras's. A Keras optimizer trains by lifted Bregman with the
# default update, the *sweep*, at about the cost of backpropagation. For long runs add
# `jit_compile=True`: it compiles for some seconds, then steps are faster.

# %%
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
print("blocks:", [block.name for block in model.lifted_blocks])
batches = {"batch_size": 100, "verbose": 2}
model.fit(x, y, epochs=2, validation_data=(x_test, y_test), **batches)
same = reference.predict(x_test, verbose=0)
assert np.allclose(model.predict(x_test, verbose=0), same, atol=1e-4)

# %% [markdown]
# ## Look at the lifted variables
# `lifted_variables` is what the update would set them to for a batch, `lifted_gaps`
# how far (in the penalty) each is from the activation of its block.

# %%
for name, value in model.lifted_variables(x[:100], y[:100]).items():
    print(f"{name}: shape {value.shape}, {np.mean(value == 0):.0%} zeros")
print("gaps:", model.lifted_gaps(x[:100], y[:100]))

# %% [markdown]
# ## Choose penalty, weights and update
# Weights can be set by the name of the block; "default" serves all others. A larger
# weight ties a block closer to its pre-activation. `ProximalGradient` takes several
# steps on the lifted variables for each step on the weights. The penalty weights
# are optimizer variables: assign to them to anneal.

# %%
optimizer = kl.optimizers.BlockCoordinateDescent(
    keras.optimizers.Adam(1e-3),
    penalty=kl.penalties.Bregman(weight={"dense_1": 20.0, "default": 10.0}),
    lifted_update=kl.updates.ProximalGradient(steps=3, acceleration="nesterov"),
)
model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
model.fit(x, y, epochs=1, **batches)
print("gaps:", model.lifted_gaps(x[:100], y[:100]))

optimizer.lifted.weight.assign(2.0 * optimizer.lifted.weight)
model.fit(x, y, epochs=1, **batches)

# %% [markdown]
# ## Train with an activation that has no derivative everywhere
# Soft threshold is the proximal map of `λ |x|`, so its outputs are sparse. No
# derivative of it is ever taken. A proximal activation is a Keras layer, given as
# `activation` or put after a layer.

# %%
sparse = network(lambda name: kl.layers.SoftThreshold(0.5, name=name))
sparse = kl.LiftedModel(sparse.inputs, sparse.outputs)
sparse.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
sparse.fit(x, y, epochs=2, validation_data=(x_test, y_test), **batches)
for name, value in sparse.lifted_variables(x[:100], y[:100]).items():
    print(f"{name}: {np.mean(value == 0):.0%} zeros")

# %% [markdown]
# ## Save and load
# The file holds architecture, weights, penalty, update and optimizer state, so
# training goes on where it stopped. Weight files fit the Keras model, too.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "sparse.keras"
    sparse.save(path)
    loaded = keras.models.load_model(path)
    expected = sparse.predict(x_test, verbose=0)
    assert np.allclose(loaded.predict(x_test, verbose=0), expected, atol=1e-4)
    loaded.fit(x, y, epochs=1, **batches)

    weights = pathlib.Path(folder) / "model.weights.h5"
    model.save_weights(weights)
    reference.load_weights(weights)

# %% [markdown]
# ## A picture
# These are test images with the classes that the model predicts for them. Next: the
# other tutorials show your own data, TensorBoard, and loading and serving.

# %%
side = int(np.sqrt(x.shape[1]))
classes = sparse.predict(x_test[:8], verbose=0).argmax(axis=-1)
_, axes = plt.subplots(1, 8, figsize=(9, 1.6))
for axis, image, label in zip(axes, x_test, classes, strict=False):
    axis.imshow(image.reshape(side, side), cmap="gray_r")
    axis.set_title(f"class {label}", fontsize=9)
    axis.axis("off")
plt.show()
