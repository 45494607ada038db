# %% [markdown]
# # Saving, loading and serving
#
# A lifted model is saved like any Keras model. One file holds what it needs to predict
# and to train on; another form of it predicts where `keras_lifted` is not installed.

# %%
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import keras_lifted as kl

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
x, y, x_test = x[:1500], y[:1500], x[1500:]
folder = pathlib.Path(tempfile.mkdtemp())

inputs = keras.Input(x.shape[1:])
hidden = keras.layers.Dense(64, activation="relu", name="first")(inputs)
hidden = keras.layers.Dense(64, activation="tanh", name="second")(hidden)
model = kl.LiftedModel(inputs, keras.layers.Dense(10)(hidden))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(kl.optimizers.SteepestDescent(decay=None), loss, metrics=["accuracy"])

# %% [markdown]
# ## Keep the best epoch, and go on after an interruption
# Keras's callbacks work as they are. `BackupAndRestore` writes the state after every
# epoch; where `fit` is interrupted, calling it again goes on with the next epoch.

# %%
best = folder / "best.keras"
callbacks = [
    keras.callbacks.ModelCheckpoint(best, monitor="val_loss", save_best_only=True),
    keras.callbacks.BackupAndRestore(folder / "backup"),
]
history = model.fit(
    x, y, validation_split=0.2, epochs=4, verbose=0, callbacks=callbacks
).history
print("validation accuracy of each epoch:", np.round(history["val_accuracy"], 3))

# %% [markdown]
# ## Load it and train on
# The `.keras` file holds architecture, weights, penalty, update and optimizer state.
# The package must be imported before `load_model`, which looks its classes up.

# %%
loaded = keras.models.load_model(best)
print(type(loaded).__name__, type(loaded.optimizer.weight_optimizer).__name__)
loaded.fit(x, y, epochs=1, verbose=0)

# %% [markdown]
# ## Exchange weights with a Keras model
# A `keras.Model` of the same layers reads the weights of a lifted one, and the reverse.

# %%
weights = folder / "model.weights.h5"
model.save_weights(weights)
twin = keras.models.clone_model(keras.Model(model.inputs, model.outputs))
twin.load_weights(weights)
expected = model.predict(x_test, verbose=0)
assert np.allclose(twin.predict(x_test, verbose=0), expected, atol=1e-5)

# %% [markdown]
# ## Predict without the package
# That model is saved as an ordinary Keras file, which any program loads that has Keras
# alone, as long as the activations are Keras's. Activations of `kl.layers`, such as
# `SoftThreshold`, need the package wherever they are loaded.

# %%
twin.save(folder / "serve.keras")
np.save(folder / "inputs.npy", x_test)
program = f"""
import keras, numpy as np
model = keras.models.load_model({str(folder / "serve.keras")!r})
outputs = model.predict(np.load({str(folder / "inputs.npy")!r}), verbose=0)
np.save({str(folder / "outputs.npy")!r}, outputs)
"""
subprocess.run([sys.executable, "-c", program], check=True, stderr=subprocess.DEVNULL)
served = np.load(folder / "outputs.npy")
assert np.allclose(served, expected, atol=1e-5)

# %% [markdown]
# ## Export for TensorFlow Serving
# `export` writes a SavedModel, which needs neither Keras nor this package: TensorFlow
# Serving, TensorFlow Lite and TensorFlow itself read it.

# %%
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    model.export(folder / "saved_model", verbose=False)
    saved = tf.saved_model.load(folder / "saved_model")
    assert np.allclose(saved.serve(x_test), expected, atol=1e-4)
    print("the SavedModel gives the same outputs")

# %% [markdown]
# ## A picture
# These are test images with the classes that the other program predicted.

# %%
_, axes = plt.subplots(1, 8, figsize=(9, 1.6))
for axis, image, output in zip(axes, x_test, served, strict=False):
    axis.imshow(image.reshape(8, 8), cmap="gray_r")
    axis.set_title(f"class {output.argmax()}", fontsize=9)
    axis.axis("off")
plt.show()
