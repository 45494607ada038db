"""Keras models that train by lifting, and networks to start from."""

from keras_lifted.architectures import (
    conv_net,
    mlp,
    proximal_network,
    resnet,
    sparse_autoencoder,
    transformer_encoder,
    unet,
)
from keras_lifted.models.lifted_model import LiftedModel, LiftedSequential
from keras_lifted.models.stack import stack
from keras_lifted.models.training import LiftedMixin
from keras_lifted.persistent.indices import indexed, with_index

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
