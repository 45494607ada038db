"""Keras models that train by lifting, and networks to start from."""

from keras_lifted.architectures import conv_net
from keras_lifted.architectures import mlp
from keras_lifted.architectures import proximal_network
from keras_lifted.architectures import resnet
from keras_lifted.architectures import sparse_autoencoder
from keras_lifted.architectures import transformer_encoder
from keras_lifted.architectures import unet
from keras_lifted.models.lifted_model import LiftedModel
from keras_lifted.models.lifted_model import LiftedSequential
from keras_lifted.models.stack import stack
from keras_lifted.models.training import LiftedMixin
from keras_lifted.persistent.indices import indexed
from keras_lifted.persistent.indices import with_index

__all__ = [
    "LiftedMixin",
    "LiftedModel",
    "LiftedSequential",
    "conv_net",
    "indexed",
    "mlp",
    "proximal_network",
    "resnet",
    "sparse_autoencoder",
    "transformer_encoder",
    "unet",
    "stack",
    "with_index",
]
