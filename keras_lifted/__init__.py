"""Lifted training for Keras 3."""

from keras_lifted import (
    callbacks,
    imaging,
    inversion,
    layers,
    metrics,
    models,
    optimizers,
    penalties,
    persistent,
    regularizers,
    updates,
)
from keras_lifted.inversion import invert
from keras_lifted.models import LiftedMixin, LiftedModel, LiftedSequential, stack
from keras_lifted.persistent import indexed, with_index

# isort: split
from keras_lifted import architectures  # after models, whose classes it builds

__version__ = "0.1.0"
__all__ = [
    "LiftedMixin",
    "LiftedModel",
    "LiftedSequential",
    "architectures",
    "callbacks",
    "imaging",
    "indexed",
    "inversion",
    "invert",
    "layers",
    "metrics",
    "models",
    "optimizers",
    "penalties",
    "persistent",
    "regularizers",
    "stack",
    "updates",
    "with_index",
]
