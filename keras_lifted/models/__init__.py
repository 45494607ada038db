"""Keras models that train by lifting."""

from keras_lifted.models.indices import indexed
from keras_lifted.models.indices import with_index
from keras_lifted.models.lifted_model import LiftedModel
from keras_lifted.models.lifted_model import LiftedSequential
from keras_lifted.models.stack import stack
from keras_lifted.models.training import LiftedMixin

__all__ = [
    "LiftedMixin",
    "LiftedModel",
    "LiftedSequential",
    "indexed",
    "stack",
    "with_index",
]
