"""Mixed precision learns as float32 does."""

import keras
import numpy as np
import pytest
from networks import COMPILED, data, target, values
from recipes import SGD, UPDATES, bcd, lifted_metrics, small

import keras_lifted as kl


@pytest.fixture
def policy(request):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize("update", ["sweep", "proximal_gradient"])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"], indirect=True)
def test_mixed_precision(policy, update):
    x, y = data(4), target()
    before = values(small().weights)

    def step():
        plain = small()
        model = kl.LiftedModel(plain.inputs, plain.outputs)
        optimizer = bcd(SGD(0.1), kl.penalties.Bregman(2.0), UPDATES[update])
        model.compile(optimizer, "mse", metrics=lifted_metrics(), jit_compile=COMPILED)
        logs = model.train_on_batch(x, y, return_dict=True)
        changes = [b - a for a, b in zip(before, values(model.weights))]
        return model, changes, logs

    model, changes, logs = step()
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert model.layers[1].compute_dtype == policy.removeprefix("mixed_")
    keras.config.set_dtype_policy("float32")
    _, expected, exact = step()
    for change, wanted in zip(changes, expected):
        error = np.linalg.norm(change - wanted) / np.linalg.norm(wanted)
        assert error < (0.01 if scaled else 0.06)
    for name in ("loss", "lifted_energy", "lifted_gap"):
        np.testing.assert_allclose(logs[name], exact[name], rtol=0.05)
    lifted = kl.optimizers.lifted_part(model.optimizer)
    assert float(lifted.lifted.caution) == 1.0
