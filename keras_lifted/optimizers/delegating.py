"""An optimizer that leaves to another one what it does not do itself."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.optimizers.settings import check_rate

Tensor = Any


class Delegating(keras.optimizers.Optimizer):
    """What an optimizer around `weight_optimizer` has of it.

    Attributes:
        weight_optimizer: an ordinary Keras optimizer, which moves the weights.
    """

    weight_optimizer: Any

    def scale_loss(self, loss: Tensor) -> Tensor:
        """Return the weight optimizer's loss scaling."""
        return self.weight_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Take the weight optimizer's averages, at the end of training."""
        self.weight_optimizer.finalize_variable_values(var_list)

    @property
    def learning_rate(self) -> Any:
        """The weight optimizer's learning rate."""
        return self.weight_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.weight_optimizer.learning_rate = check_rate(learning_rate)

    @property
    def iterations(self) -> Any:
        """Training steps taken."""
        return self.weight_optimizer.iterations

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the weight optimizer, where this class has none."""
        if "weight_optimizer" not in vars(self) or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.weight_optimizer, name)
