"""Proximal activations as Keras layers."""

from keras_lifted.arguments import deserialize, serialize
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.dual_forward_backward import DualForwardBackward
from keras_lifted.layers.growing import BentIdentity, SignedLog, Softplus
from keras_lifted.layers.mapping import NOT_PROXIMAL, from_keras, get
from keras_lifted.layers.projections import (
    BoxProjection,
    HardTanh,
    L2BallProjection,
    SimplexProjection,
)
from keras_lifted.layers.proximal_stack import ProximalStack
from keras_lifted.layers.rectifiers import ELU, ISRLU, Identity, LeakyReLU, ReLU
from keras_lifted.layers.softmax import Softmax
from keras_lifted.layers.squashing import ISRU, Arctan, Sigmoid, Softsign, Tanh
from keras_lifted.layers.stack import Stack
from keras_lifted.layers.thresholds import (
    DualSoftThreshold,
    GroupSoftThreshold,
    SoftThreshold,
)

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
    "deserialize",
    "from_keras",
    "get",
    "serialize",
]
