"""Optimizers of lifted training."""

from typing import Any

import keras

from keras_lifted.arguments import deserialize, serialize
from keras_lifted.optimizers.block_coordinate_descent import BlockCoordinateDescent
from keras_lifted.optimizers.isgm import ISGM
from keras_lifted.optimizers.schedule import FitDecay
from keras_lifted.optimizers.settings import keras_optimizer
from keras_lifted.optimizers.state import LiftedState
from keras_lifted.optimizers.steepest_descent import SteepestDescent
from keras_lifted.persistent.settings import Persistent

__all__ = [
    "ISGM",
    "BlockCoordinateDescent",
    "FitDecay",
    "LiftedState",
    "Persistent",
    "SteepestDescent",
    "deserialize",
    "get",
    "lifted_part",
    "serialize",
]

# So that `compile(optimizer="steepest_descent")` works in any Keras model.
keras.saving.get_custom_objects().update(
    {"isgm": ISGM, "steepest_descent": SteepestDescent}
)


def get(identifier: Any) -> keras.optimizers.Optimizer | None:
    """Return a lifted optimizer: any other is wrapped with the defaults.

    Args:
        identifier: optimizer, its name or config. A `LossScaleOptimizer` stays
            outermost, around the lifted one.
    """
    if identifier is None:
        return None
    optimizer = keras_optimizer("optimizer", identifier)
    if lifted_part(optimizer) is not None:
        return optimizer
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        config = optimizer.get_config() | {"inner_optimizer": None}
        config["inner_optimizer"] = BlockCoordinateDescent(optimizer.inner_optimizer)
        return keras.optimizers.LossScaleOptimizer(**config)
    return BlockCoordinateDescent(optimizer)


def lifted_part(optimizer: Any) -> BlockCoordinateDescent | None:
    """Return the lifted optimizer within `optimizer`, if there is one.

    Args:
        optimizer: optimizer. It may wrap the lifted one.
    """
    while optimizer is not None:
        if isinstance(optimizer, BlockCoordinateDescent):
            return optimizer
        optimizer = getattr(optimizer, "inner_optimizer", None)
    return None
