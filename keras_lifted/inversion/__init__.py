"""Inversion of trained networks."""

from keras_lifted.inversion.invert import invert
from keras_lifted.inversion.inverter import Inverter
from keras_lifted.inversion.primal_dual import PrimalDual
from keras_lifted.inversion.result import Inversion

__all__ = ["Inversion", "Inverter", "PrimalDual", "invert"]
