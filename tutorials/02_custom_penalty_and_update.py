# %% [markdown]
# # Your own penalty, your own update
#
# A *penalty* `P(x, z)` says how far a lifted variable `x` is from `σ(z)`; an *update*
# chooses the lifted variables of a batch. Both are small classes, and every penalty
# works with every update.

# %%
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from sklearn.datasets import load_digits

import keras_lifted as kl

x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
x, y, x_test, y_test = x[:1500], y[:1500], x[1500:], y[1500:]
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


# %% [markdown]
# ## A penalty
# `P(x, z) = Σ_j h(σ(z)_j − x_j)`, with Huber's h: quadratic up to `delta`, linear
# beyond. Its gradient is clipped at `delta` in every unit, so no single sample counts
# much. `value` is all a penalty must say; gradients follow from it. Here an update
# moves the lifted variable itself, `s = x`; `sigma` is the activation of the block,
# and `value` returns one number per sample.
#
# `register_keras_serializable` lets a saved model find the class again. It is saved by
# its constructor arguments, kept in attributes of the same names.


# %%
@keras.saving.register_keras_serializable(package="tutorial")
class Huber(kl.penalties.Penalty):
    def __init__(self, weight=10.0, delta=0.01):
        super().__init__(weight)
        self.delta = delta

    def value(self, sigma, s, z):
        error = ops.abs(sigma(z) - s)
        small = 0.5 * ops.square(error)
        large = self.delta * (error - 0.5 * self.delta)
        terms = ops.where(error <= self.delta, small, large)
        return ops.sum(terms, axis=tuple(range(1, len(terms.shape))))


# %% [markdown]
# `z_gradient` (the gradient of P in z at the displacement `d`) comes by autodiff, from
# `σ(z) − (σ(z) − d)`. For a small `d` a formula that never subtracts keeps more digits;
# see `kl.penalties.Quadratic`, and the other methods of `kl.penalties.Penalty`.
#
# ## An update
# `problem.sweep(move)` visits the blocks from output to input. At each it asks `move`
# for the new coordinate of the lifted variable and how far that lies from the forward
# pass. `q` is the gradient, in units of the penalty, of all that depends on the lifted
# variable. The full step is `s − q`; this one is shorter.


# %%
@keras.saving.register_keras_serializable(package="tutorial")
class DampedSweep(kl.updates.LiftedUpdate):
    needs_curvature = False  # no power iteration for step lengths

    def __init__(self, tau=0.5):
        self.tau = tau

    def solve(self, problem, curvature):
        def move(call, sigma, s, z, q):
            step = self.tau * q
            return s - step, step

        swept = problem.sweep(move, with_weights=True)
        return kl.updates.Solution.of(problem, swept, swept)


# %% [markdown]
# ## Train
# Both work with each other, and with what the package has. Contrastive training runs
# any update twice, with the loss and without it; yours need not know.


# %%
def train(penalty, update):
    keras.utils.set_random_seed(0)
    model = kl.LiftedSequential(
        [
            keras.Input(x.shape[1:]),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(64, activation="tanh"),
            keras.layers.Dense(10),
        ]
    )
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.Adam(3e-3), penalty=penalty, lifted_update=update
    )
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    model.fit(x, y, batch_size=100, epochs=6, verbose=0)
    _, accuracy = model.evaluate(x_test, y_test, verbose=0)
    name = f"{type(penalty).__name__} with {type(update).__name__}"
    print(f"{name}: accuracy {accuracy:.1%}")
    assert accuracy > 0.8
    return model


model = train(Huber(), DampedSweep(0.5))
train(Huber(), kl.updates.ProximalGradient(steps=3))
train(kl.penalties.Bregman(10.0), DampedSweep(0.5))
train(kl.penalties.Contrastive(10.0), DampedSweep(0.5))

# %% [markdown]
# ## Save and load
# Penalty and update travel with the model.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
assert loaded.optimizer.penalty.delta == 0.01
assert loaded.optimizer.lifted_update.tau == 0.5
expected = model.predict(x_test, verbose=0)
assert np.allclose(loaded.predict(x_test, verbose=0), expected, atol=1e-4)

# %% [markdown]
# ## A picture
# This is the penalty of one unit at `z = 0`, beside the quadratic one.

# %%
points = np.linspace(-0.05, 0.05, 201).astype("float32")[:, None]
zeros, identity = np.zeros_like(points), kl.layers.Identity()
for each in (Huber(), kl.penalties.Quadratic()):
    values = each.value(identity, points, zeros)
    plt.plot(points, values, label=type(each).__name__)
plt.xlabel("x − σ(z)")
plt.ylabel("P(x, z)")
plt.legend()
plt.show()
