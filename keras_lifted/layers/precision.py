"""Half-precision tensors: compute wide, answer in the dtype that came."""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

Tensor = Any


def as_floating(value: Any) -> Tensor:
    """Return `value` as a floating-point tensor, its dtype kept where it has one."""
    tensor = ops.convert_to_tensor(value)
    if "float" in dtype_of(tensor):
        return tensor
    return ops.cast(tensor, keras.config.floatx())


def as_real(value: Any) -> Tensor:
    """Return `value` as a tensor precise enough for sums: float32 or float64."""
    tensor = as_floating(value)
    if dtype_of(tensor) == "float64":
        return tensor
    return ops.cast(tensor, "float32")


def real_dtype() -> str:
    """Return the dtype of lifted variables and energies, after floatx."""
    return "float64" if keras.config.floatx() == "float64" else "float32"


def lifted_real(value: Any) -> Tensor:
    """Return `value` in the dtype of lifted variables and energies."""
    return ops.cast(value, real_dtype())


def dtype_of(tensor: Tensor) -> str:
    """Return the dtype of `tensor` as a string."""
    return str(keras.backend.standardize_dtype(tensor.dtype))


def wide(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Let `method(self, z, *others)` compute in float32 or float64; `z`'s comes out."""

    @functools.wraps(method)
    def widened(self: Any, z: Any, *others: Any) -> Tensor:
        z = as_floating(z)
        real = as_real(z)
        rest = [ops.convert_to_tensor(other, dtype=real.dtype) for other in others]
        return ops.cast(method(self, real, *rest), z.dtype)

    return widened
