"""Networks to start from, as `kl.models.mlp(...)` and the like.

Every builder takes `cls`, `kl.LiftedModel` or `keras.Model`, and gives both the same
network. All activations are proximal maps, so they are lifted.
"""

from keras_lifted.architectures.convolutional import conv_net, resnet, unet
from keras_lifted.architectures.dense import mlp, sparse_autoencoder
from keras_lifted.architectures.proximal_network import proximal_network
from keras_lifted.architectures.transformer_encoder import transformer_encoder
from keras_lifted.layers.tied_convolution import TiedConvolution

__all__ = [
    "TiedConvolution",
    "conv_net",
    "mlp",
    "proximal_network",
    "resnet",
    "sparse_autoencoder",
    "transformer_encoder",
    "unet",
]
