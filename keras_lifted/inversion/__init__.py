"""Inversion of trained networks."""

from keras_lifted.inversion.fidelity import (
    Fidelity,
    Huber,
    KullbackLeibler,
    LeastSquares,
)
from keras_lifted.inversion.invert import invert
from keras_lifted.inversion.inverter import Inverter
from keras_lifted.inversion.primal_dual import PrimalDual
from keras_lifted.inversion.result import Inversion

__all__ = [
    "Fidelity",
    "Huber",
    "Inversion",
    "Inverter",
    "KullbackLeibler",
    "LeastSquares",
    "PrimalDual",
    "invert",
]
