# %% [markdown]
# # Deep stacks that compile at once
#
# A run of equal blocks is one layer, `kl.layers.Stack`. It computes in a loop, so that
# its compile time does not grow with the depth, and in lifted training all of its
# blocks can be updated together.

# %%
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_lifted as kl

layers = keras.layers
rng = np.random.default_rng(0)
x = rng.normal(size=(512, 16)).astype("float32")
y = np.tanh(x @ rng.normal(size=(16, 1))).astype("float32")

# %% [markdown]
# ## Any block, many times
# The block is a layer or a model that keeps the shape of its input. Each of the copies
# has weights, state and seeds of its own; here branches start small beside the stream.

# %%
DEPTH = 32


def block() -> keras.Model:
    small = keras.initializers.VarianceScaling(1 / DEPTH**2, "fan_avg")
    return keras.Sequential(
        [
            layers.LayerNormalization(),
            layers.Dense(32, activation="gelu"),
            layers.Dense(16, kernel_initializer=small),
        ]
    )


def network(depth: int, cls: type = keras.Model) -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((16,))
    h = kl.layers.Stack(block(), depth, residual=True, name="stack")(inputs)
    return cls(inputs, layers.Dense(1)(h))


# %% [markdown]
# ## Compile time is flat in depth
# In a keras.Model, too: the compiled program holds a single block.

# %%
for depth in (8, 128):
    model = network(depth)
    model.compile("adam", "mse", jit_compile=True)
    start = time.process_time()
    model.train_on_batch(x, y)
    print(f"depth {depth:3d}: first step {time.process_time() - start:.1f} s")

# %% [markdown]
# ## Single layers, and back
# `get_blocks` gives the blocks as layers, `kl.stack` folds the equal blocks of a model.

# %%
model = network(6)
inputs = h = keras.Input((16,))
for each in model.get_layer("stack").get_blocks():
    h = layers.Add()([h, each(h)])
unrolled = keras.Model(inputs, layers.Dense(1)(h))
folded = kl.stack(unrolled)
print([type(layer).__name__ for layer in folded.layers])
difference = np.abs(unrolled.predict(x, verbose=0) - folded.predict(x, verbose=0)).max()
print(f"outputs differ by {difference:.0e}")
assert difference < 1e-4

# %% [markdown]
# ## All blocks at once
# In a lifted model the outputs of the blocks are lifted variables. `AllAtOnce`
# evaluates all blocks together, in rounds. With as many rounds as blocks their gradient
# is that of backpropagation; as branches are small beside the stream, few come close.


# %%
def gradient(update: object) -> np.ndarray:
    """What a step of SGD with rate 1 takes from the first kernels of all blocks."""
    model = network(DEPTH, kl.LiftedModel)
    optimizer = kl.optimizers.BlockCoordinateDescent(
        keras.optimizers.SGD(1.0), lifted_update=update
    )
    model.compile(optimizer, "mse")
    kernel = next(w for w in model.weights if w.name == "stacked_kernel")
    before = keras.ops.convert_to_numpy(kernel)
    model.train_on_batch(x, y)
    return before - keras.ops.convert_to_numpy(kernel)


exact = gradient("sweep")
errors = {}
for rounds in (1, 2, 4):
    update = kl.updates.AllAtOnce(rounds, rounds, tolerance=None)
    errors[rounds] = np.linalg.norm(gradient(update) - exact) / np.linalg.norm(exact)
    print(f"{rounds} rounds: the gradient differs by {errors[rounds]:.1%}")

plt.semilogy(list(errors), list(errors.values()), "o-")
plt.xlabel("rounds over all blocks")
plt.ylabel("relative error of the gradient")
plt.show()

# %% [markdown]
# ## When it pays
# A round of all blocks is one batched operation: a device that a single block does not
# fill takes about the time of one block for it, with JAX. On a processor rounds repeat
# work, and the loop is the faster one.
