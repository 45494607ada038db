"""How much SteepestDescent keeps, beside the weights."""

import math

import keras
import pytest

import keras_lifted as kl


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet50", "DenseNet121", "EfficientNetB0"])
def test_at_most_four_times_the_weights(name):
    model = getattr(keras.applications, name)(weights=None)
    optimizer = kl.optimizers.SteepestDescent()
    optimizer.build(model.trainable_variables)
    kept = sum(math.prod(variable.shape) for variable in optimizer.variables)
    weights = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert kept <= 4 * weights
