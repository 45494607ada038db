"""Recognises a proximal activation by its values and its slopes."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lifted.backend import vector_jacobian
from keras_lifted.layers import growing, projections, rectifiers, squashing, thresholds
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.rectifiers import Identity
from keras_lifted.layers.softmax import Softmax

_FAR = 50.0
_LINE = np.concatenate([[-_FAR], np.linspace(-9.7, 9.7, 389), [_FAR]])
_GRID = np.stack([_LINE, 0.01 * _LINE])[None].astype("float32")
# Where a clipped function shows itself, if it does not overflow.
_BEYOND = np.array([[[-1e5, -1e3, 1e3, 1e5]]], "float32")
# Where slopes are compared, away from kinks; weighed, as those of softmax sum to zero.
_SMOOTH = _GRID + np.float32(0.00137)
_COTANGENT = np.cos(np.arange(_GRID.size, dtype="float32")).reshape(_GRID.shape)


class _Reads(keras.StatelessScope):
    """Takes note of whether a Keras variable is read."""

    found = False

    def get_current_value(self, variable: keras.Variable) -> Any:
        self.found = True
        return super().get_current_value(variable)


def recognise(function: Callable[[Any], Any]) -> ProximalActivation | None:
    """Return the proximal activation of `function`'s values and slopes, or None.

    A straight-through estimator has other slopes; what reads a variable may change.
    """
    # A thread of its own runs at once, within a trace too.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_recognise, function).result()


def _recognise(function: Callable[[Any], Any]) -> ProximalActivation | None:
    with _Reads() as reads:
        try:
            found = _values(function, _GRID)
            alone = _values(function, _GRID[..., :7])
            beyond = _values(function, _BEYOND)
            slopes = _slopes(function)
        except Exception:  # whatever a function of the user raises
            return None
    if reads.found or found.shape != _GRID.shape or not np.isfinite(found).all():
        return None
    if not _equal(found[..., :7], alone):
        candidates: Iterator[ProximalActivation] = iter([Softmax()])
    else:
        candidates = _candidates(found[0, 0])
    known = np.isfinite(beyond)
    for candidate in candidates:
        if _equal(_values(candidate.sigma, _GRID), found):
            same = _equal(_slopes(candidate.sigma), slopes)
            far = _values(candidate.sigma, _BEYOND)
            return candidate if same and _equal(far[known], beyond[known]) else None
    return None


def _candidates(values: np.ndarray) -> Iterator[ProximalActivation]:
    """Return activations whose parameters are read off the values on the grid."""
    low, high = float(values[0]), float(values[-1])
    yield from (rectifiers.ReLU(), growing.Softplus(), growing.SignedLog(), Identity())
    yield from (squashing.Tanh(), squashing.Sigmoid(), squashing.Softsign())
    yield from (squashing.Arctan(), squashing.ISRU())
    if 1e-4 < -low / _FAR < 1:
        yield rectifiers.LeakyReLU(round(-low / _FAR, 6))
    if -1 <= low < -1e-4:
        yield rectifiers.ELU(round(-low, 6))
    if low < high < _FAR:
        yield projections.HardTanh(round(low, 6), round(high, 6))
    shrunk = float(_LINE[-2] - values[-2])
    if 1e-4 < shrunk < _LINE[-2]:
        yield thresholds.SoftThreshold(round(shrunk, 5))


def _values(function: Callable[[Any], Any], points: np.ndarray) -> np.ndarray:
    values = function(ops.convert_to_tensor(points))
    return np.asarray(ops.convert_to_numpy(values), "float32")


def _slopes(function: Callable[[Any], Any]) -> np.ndarray:
    points, cotangent = (ops.convert_to_tensor(a) for a in (_SMOOTH, _COTANGENT))
    return np.asarray(
        ops.convert_to_numpy(vector_jacobian(function, points, cotangent))
    )


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-4, atol=1e-5))
