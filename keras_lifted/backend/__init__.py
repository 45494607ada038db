"""The only package that imports tensorflow or jax.

Everything else is written in `keras.ops`. What is not there is here, the same
functions in a module for either backend, which say what they do.
"""

from collections.abc import Callable
from typing import Any

import keras

Tensor = Any
_name = keras.backend.backend()
if _name == "tensorflow":
    from keras_lifted.backend.strategy import *  # noqa: F403
    from keras_lifted.backend.tensorflow_backend import *  # noqa: F403
elif _name == "jax":
    from keras_lifted.backend.jax_backend import *  # noqa: F403
else:
    raise ImportError(
        "keras_lifted trains on the Keras backends 'tensorflow' and 'jax'. "
        f"Received: backend '{_name}'. Set the environment variable "
        "KERAS_BACKEND before the first import of keras."
    )


def vector_jacobian(
    function: Callable[[Tensor], Tensor], point: Tensor, cotangent: Tensor
) -> Tensor:
    """Return `(∂function/∂point)ᵀ cotangent`."""
    return pullback(function, [point])[1](cotangent)[0]  # noqa: F405
