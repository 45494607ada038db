"""Lifted training for Keras 3: train without end-to-end backpropagation."""

from keras_lifted import callbacks
from keras_lifted import imaging
from keras_lifted import inversion
from keras_lifted import layers
from keras_lifted import metrics
from keras_lifted import models
from keras_lifted import optimizers
from keras_lifted import penalties
from keras_lifted import persistent
from keras_lifted import regularizers
from keras_lifted import updates
from keras_lifted.inversion import invert
from keras_lifted.models import LiftedMixin
from keras_lifted.models import LiftedModel
from keras_lifted.models import LiftedSequential
from keras_lifted.models import stack
from keras_lifted.persistent import indexed
from keras_lifted.persistent import with_index

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
