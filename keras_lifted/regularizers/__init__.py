"""Regularizers of inverse problems."""

from keras_lifted.regularizers.base import Regularizer
from keras_lifted.regularizers.base import Sum
from keras_lifted.regularizers.denoiser import Denoiser
from keras_lifted.regularizers.norms import L1
from keras_lifted.regularizers.norms import Box
from keras_lifted.regularizers.norms import GroupSparsity
from keras_lifted.regularizers.norms import NonNegative
from keras_lifted.regularizers.norms import Tikhonov
from keras_lifted.regularizers.total_variation import TotalVariation

__all__ = [
    "Box",
    "Denoiser",
    "GroupSparsity",
    "L1",
    "NonNegative",
    "Regularizer",
    "Sum",
    "Tikhonov",
    "TotalVariation",
]
