# %% [markdown]
# # Training on your own pictures
#
# A folder of pictures becomes a `tf.data` pipeline in one line of Keras, and a lifted
# model trains on it like any other. To run anywhere, the script draws the pictures
# itself; put the path of your own folder in the place of `folder`.

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
SIDE = 24

# %% [markdown]
# ## A folder for each class
# `image_dataset_from_directory` takes the names of the folders as classes. Here they
# are discs, squares and crosses of random place, size and brightness, on noise.

# %%
folder = pathlib.Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
rows, columns = np.mgrid[:SIDE, :SIDE]


def picture(kind):
    """Pixels from 0 to 255, `(SIDE, SIDE, 1)`."""
    radius = rng.uniform(4, 8)
    top, left = rng.uniform(8, SIDE - 8, 2)
    down, across = abs(rows - top), abs(columns - left)
    inside = {
        "disc": down**2 + across**2 < radius**2,
        "square": np.maximum(down, across) < 0.9 * radius,
        "cross": (np.minimum(down, across) < 1.5) & (np.maximum(down, across) < radius),
    }[kind]
    pixels = rng.uniform(0, 80, (SIDE, SIDE)) + rng.uniform(80, 170) * inside
    return pixels[..., None]


for kind in ("cross", "disc", "square"):
    (folder / kind).mkdir()
    for number in range(300):
        keras.utils.save_img(folder / kind / f"{number}.png", picture(kind))

# %% [markdown]
# ## The pipeline
# It reads, decodes and batches the files, and splits off pictures for validation. A
# layer within the model brings the pixels to [0, 1], so the model takes them as they
# are. `cache` keeps what was read, `prefetch` reads the next batch while a step runs.

# %%
train, validation = keras.utils.image_dataset_from_directory(
    folder,
    image_size=(SIDE, SIDE),
    color_mode="grayscale",
    batch_size=30,
    validation_split=0.2,
    subset="both",
    seed=0,
    verbose=False,
)
names = train.class_names
train = train.cache().shuffle(16, seed=0).prefetch(1)
validation = validation.cache()
print(names, "in", len(train), "batches")

# %% [markdown]
# ## Train
# The builders of `kl.models` give networks whose activations are all lifted. Any Keras
# model does: `kl.LiftedModel(m.inputs, m.outputs)`.

# %%
network = kl.models.conv_net((SIDE, SIDE, 1), (8, 16), len(names), units=(32,))
inputs = keras.Input((SIDE, SIDE, 1))
model = kl.LiftedModel(inputs, network(keras.layers.Rescaling(1 / 255)(inputs)))
model.compile(
    kl.optimizers.SteepestDescent(),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(train, validation_data=validation, epochs=8, verbose=2)
accuracy = model.evaluate(validation, verbose=0, return_dict=True)["accuracy"]
print(f"validation accuracy {accuracy:.1%}")
assert accuracy > 0.8

# %% [markdown]
# ## A picture
# These are pictures that the model has not seen, with the classes that it predicts.

# %%
images, labels = next(iter(validation))
found = model.predict(images, verbose=0).argmax(axis=-1)
_, axes = plt.subplots(2, 6, figsize=(9, 3.4))
for axis, image, label in zip(axes.flat, images, found, strict=False):
    axis.imshow(image[..., 0], cmap="gray", vmin=0, vmax=255)
    axis.set_title(names[label], fontsize=9)
    axis.axis("off")
plt.show()

# %% [markdown]
# ## Where to go on
# `kl.imaging.degrade(dataset, operator)` turns a data set of pictures into pairs of
# degraded and clean ones, to train a network that restores them. In persistent training
# every sample needs its number: call `kl.with_index(dataset)` on single samples, before
# `shuffle` and `batch`.
