"""Lifted variables that every sample keeps from one epoch to the next."""

from keras_lifted.persistent.indices import indexed, with_index
from keras_lifted.persistent.settings import Persistent

__all__ = ["Persistent", "indexed", "with_index"]
