"""Proximal activations as Keras layers."""

from keras_lifted.layers.arctan import Arctan
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.bent_identity import BentIdentity
from keras_lifted.layers.box_projection import BoxProjection
from keras_lifted.layers.dual_forward_backward import DualForwardBackward
from keras_lifted.layers.dual_soft_threshold import DualSoftThreshold
from keras_lifted.layers.elu import ELU
from keras_lifted.layers.group_soft_threshold import GroupSoftThreshold
from keras_lifted.layers.hard_tanh import HardTanh
from keras_lifted.layers.identity import Identity
from keras_lifted.layers.isrlu import ISRLU
from keras_lifted.layers.isru import ISRU
from keras_lifted.layers.l2_ball_projection import L2BallProjection
from keras_lifted.layers.leaky_relu import LeakyReLU
from keras_lifted.layers.mapping import NOT_PROXIMAL
from keras_lifted.layers.mapping import from_keras
from keras_lifted.layers.mapping import get
from keras_lifted.layers.proximal_stack import ProximalStack
from keras_lifted.layers.relu import ReLU
from keras_lifted.layers.sigmoid import Sigmoid
from keras_lifted.layers.signed_log import SignedLog
from keras_lifted.layers.simplex_projection import SimplexProjection
from keras_lifted.layers.soft_threshold import SoftThreshold
from keras_lifted.layers.softmax import Softmax
from keras_lifted.layers.softplus import Softplus
from keras_lifted.layers.softsign import Softsign
from keras_lifted.layers.stack import Stack
from keras_lifted.layers.tanh import Tanh

__all__ = [
    "Arctan",
    "BentIdentity",
    "BoxProjection",
    "DualForwardBackward",
    "DualSoftThreshold",
    "ELU",
    "GroupSoftThreshold",
    "HardTanh",
    "ISRLU",
    "ISRU",
    "Identity",
    "L2BallProjection",
    "LeakyReLU",
    "NOT_PROXIMAL",
    "ProximalActivation",
    "ProximalStack",
    "ReLU",
    "Sigmoid",
    "SignedLog",
    "SimplexProjection",
    "SoftThreshold",
    "Softmax",
    "Softplus",
    "Softsign",
    "Stack",
    "Tanh",
    "from_keras",
    "get",
]
