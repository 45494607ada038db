"""Whatever the settings and the architecture, a step is finite."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

import keras_lifted as kl

FLOAT = st.floats(1e-4, 10.0)
SETTINGS = st.fixed_dictionaries(
    {
        "geometry": st.sampled_from(["kronecker", "spectral", "frobenius"]),
        "momentum": st.sampled_from([0.0, 0.5, 0.95, 0.999]),
        # Not Adafactor: its own steps are NaN for small gradients with rows of zeros.
        "fallback": st.sampled_from(["adam", "sgd", "nadam", "rmsprop"]),
        "decay": st.sampled_from([None, "fit", 2]),
        "refresh_every": st.integers(1, 5),
    },
    optional={
        "learning_rate": FLOAT,
        "max_relative_decrease": FLOAT,
        "weight_decay": st.floats(0.0, 0.1),
        "use_ema": st.booleans(),
        "gradient_accumulation_steps": st.integers(2, 3),
    },
)
CLIPPING = st.sampled_from([{}, {"clipnorm": 1.0}, {"clipvalue": 0.1}])
# Sizes of the variables, as layers name them.
ARCHITECTURES = {
    "dense": lambda: [layers.Dense(5), layers.Dense(1, use_bias=False)],
    "wide": lambda: [layers.Dense(200), layers.Dense(3)],
    "conv": lambda: [
        layers.Reshape((3, 3, 1)),
        layers.Conv2D(4, 3, padding="same"),
        layers.BatchNormalization(),
        layers.Conv2DTranspose(2, 2),
        layers.DepthwiseConv2D(2),
        layers.SeparableConv2D(3, 2),
    ],
    "recurrent": lambda: [layers.Reshape((9, 1)), layers.GRU(3), layers.Dense(2)],
    "attention": lambda: [
        layers.Reshape((3, 3)),
        layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d"),
        layers.LayerNormalization(),
    ],
    "no kernels": lambda: [layers.LayerNormalization()],
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*of the weights:UserWarning")
@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    arguments=SETTINGS,
    clipping=CLIPPING,
    architecture=st.sampled_from(sorted(ARCHITECTURES)),
    scale=st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e6, 1e15]),
    sparse=st.booleans(),
)
def test_a_step_is_finite(arguments, clipping, architecture, scale, sparse):
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((9,)), *ARCHITECTURES[architecture]()])
    optimizer = kl.optimizers.SteepestDescent(**arguments, **clipping)
    optimizer.build(model.trainable_variables)
    optimizer.plan_fit(3)
    for loss in (scale, 0.5 * scale, -scale):
        optimizer.scale_loss(ops.convert_to_tensor(loss, "float32"))
        gradients = [rng.normal(size=v.shape) for v in model.trainable_variables]
        if sparse:
            gradients = [g * (rng.random(g.shape) < 0.1) for g in gradients]
        optimizer.apply(
            [ops.convert_to_tensor(scale * g, "float32") for g in gradients]
        )
    optimizer.finalize_variable_values(model.trainable_variables)
    for weight in model.weights:
        assert np.isfinite(ops.convert_to_numpy(weight)).all(), weight.path
