"""Regularizers of inverse problems."""

from keras_lifted.regularizers.base import Regularizer, Sum
from keras_lifted.regularizers.denoiser import Denoiser
from keras_lifted.regularizers.norms import (
    L1,
    Box,
    GroupSparsity,
    NonNegative,
    Tikhonov,
)
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
