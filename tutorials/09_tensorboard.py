# %% [markdown]
# # Watching training in TensorBoard
#
# `LiftedTensorBoard` writes what every block does while `fit` runs: how far its lifted
# variables are from its activations, what its penalty weighs, and how long the steps
# are. Its files lie beside those of Keras's own callback, in one dashboard.

# %%
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

import keras_lifted as kl

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")

# %% [markdown]
# ## A model with three blocks
# The layers are named, because the blocks are shown by these names. The curvature and
# the step sizes belong to updates that take several steps, such as `ProximalGradient`.

# %%
model = kl.LiftedSequential(
    [
        keras.Input(x.shape[1:]),
        keras.layers.Dense(64, activation="relu", name="first"),
        keras.layers.Dense(64, activation="tanh", name="second"),
        keras.layers.Dense(64, activation="sigmoid", name="third"),
        keras.layers.Dense(10, name="logits"),
    ]
)
optimizer = kl.optimizers.BlockCoordinateDescent(
    keras.optimizers.Adam(3e-3),
    lifted_update=kl.updates.ProximalGradient(steps=3),
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(optimizer, loss, metrics=["accuracy", kl.metrics.LiftedGap()])

# %% [markdown]
# ## Train with both callbacks
# `update_freq="epoch"` writes once an epoch; a number writes every so many batches.

# %%
logs = pathlib.Path(tempfile.mkdtemp()) / "logs"
callbacks = [
    keras.callbacks.TensorBoard(logs),
    kl.callbacks.LiftedTensorBoard(logs, update_freq="epoch"),
]
model.fit(
    x, y, validation_split=0.2, epochs=8, batch_size=100, verbose=0, callbacks=callbacks
)
print(sorted(folder.name for folder in logs.iterdir()))

# %% [markdown]
# Now `tensorboard --logdir LOGS`, with the folder of the logs, opens the dashboard. The
# "Scalars" page has a group for each of `relative_gap`, `weighted_penalty`,
# `penalty_weight`, `curvature` and `step_size`, with a curve for every block, and every
# card says what it is; "Histograms" shows the lifted variables.
#
# ## Read the files
# The same numbers can be read without a browser.

# %%
events = EventAccumulator(str(logs / "lifted"), size_guidance={"tensors": 0}).Reload()
tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("relative_gap/")]
print(tags)
for tag in tags:
    curve = [make_ndarray(event.tensor_proto).item() for event in events.Tensors(tag)]
    assert len(curve) == 8 and min(curve) > 0
    plt.semilogy(range(1, 9), curve, "o-", label=tag.split("/")[1])
plt.xlabel("epoch")
plt.ylabel("relative gap")
plt.legend()
plt.show()

# %% [markdown]
# ## What to look for
# A gap near zero means that the lifted variables stay at the forward pass, and training
# is close to backpropagation: a smaller penalty weight lets them move. A large gap
# means that a block learns targets which the network does not reach: a larger weight,
# or `PenaltyScheduler`, ties them closer. A block whose gap stays at zero while others
# move gets no gradient; look at its activations in the histograms.
