"""Proximal activations as Keras layers."""

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.dual_forward_backward import DualForwardBackward
from keras_lifted.layers.growing import BentIdentity
from keras_lifted.layers.growing import SignedLog
from keras_lifted.layers.growing import Softplus
from keras_lifted.layers.mapping import NOT_PROXIMAL
from keras_lifted.layers.mapping import from_keras
from keras_lifted.layers.mapping import get
from keras_lifted.layers.projections import BoxProjection
from keras_lifted.layers.projections import HardTanh
from keras_lifted.layers.projections import L2BallProjection
from keras_lifted.layers.projections import SimplexProjection
from keras_lifted.layers.proximal_stack import ProximalStack
from keras_lifted.layers.rectifiers import ELU
from keras_lifted.layers.rectifiers import ISRLU
from keras_lifted.layers.rectifiers import Identity
from keras_lifted.layers.rectifiers import LeakyReLU
from keras_lifted.layers.rectifiers import ReLU
from keras_lifted.layers.softmax import Softmax
from keras_lifted.layers.squashing import ISRU
from keras_lifted.layers.squashing import Arctan
from keras_lifted.layers.squashing import Sigmoid
from keras_lifted.layers.squashing import Softsign
from keras_lifted.layers.squashing import Tanh
from keras_lifted.layers.stack import Stack
from keras_lifted.layers.thresholds import DualSoftThreshold
from keras_lifted.layers.thresholds import GroupSoftThreshold
from keras_lifted.layers.thresholds import SoftThreshold

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
