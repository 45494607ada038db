"""The signal's part of a gradient, against what is known of the samples."""

import numpy as np
import pytest
from keras import ops

from keras_lifted.optimizers.signal import batch_share
from keras_lifted.optimizers.signal import sample_share

B, N, M = 64, 5, 3


@pytest.mark.parametrize(
    ("spread", "scale"), [(0.0, 1.0), (2.0, 1e-15), (2.0, 1e15), (20.0, 1.0)]
)
def test_share_of_known_noise(spread, scale):
    rng = np.random.default_rng(0)
    a, mean = rng.normal(size=N), rng.normal(size=M)
    shares = []
    for _ in range(800):
        d = mean + spread * rng.normal(size=(B, M))
        shares.append(
            float(
                sample_share(
                    ops.convert_to_tensor(np.tile(a, (B, 1)) * scale, "float32"),
                    ops.convert_to_tensor(d / scale, "float32"),
                )
            )
        )
    signal, noise = np.sum(mean**2), M * spread**2
    assert np.isclose(np.mean(shares), signal / (signal + noise), atol=0.005)
    share = float(batch_share(ops.convert_to_tensor(np.mean(shares), "float32"), B))
    assert np.isclose(share, signal / (signal + noise / B), atol=0.06)


@pytest.mark.parametrize("rows", [1, 2])
def test_few_samples_and_no_gradient(rows):
    zero = ops.zeros((rows, N)), ops.zeros((rows, M))
    assert float(sample_share(*zero)) == 0.0
    one = ops.ones((rows, N)), ops.ones((rows, M))
    assert 0.0 <= float(sample_share(*one)) <= 1.0
