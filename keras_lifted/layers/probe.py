"""Recognises a proximal activation by what it computes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import numpy as np
from keras import ops

from keras_lifted.backend import eagerly
from keras_lifted.layers.arctan import Arctan
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.elu import ELU
from keras_lifted.layers.hard_tanh import HardTanh
from keras_lifted.layers.identity import Identity
from keras_lifted.layers.isru import ISRU
from keras_lifted.layers.leaky_relu import LeakyReLU
from keras_lifted.layers.relu import ReLU
from keras_lifted.layers.sigmoid import Sigmoid
from keras_lifted.layers.signed_log import SignedLog
from keras_lifted.layers.soft_threshold import SoftThreshold
from keras_lifted.layers.softmax import Softmax
from keras_lifted.layers.softplus import Softplus
from keras_lifted.layers.softsign import Softsign
from keras_lifted.layers.tanh import Tanh

_FAR = 50.0
_LINE = np.concatenate([[-_FAR], np.linspace(-9.7, 9.7, 389), [_FAR]])
_GRID = np.stack([_LINE, 0.01 * _LINE])[None].astype("float32")


def recognise(function: Callable[[Any], Any]) -> ProximalActivation | None:
    """Return the proximal activation that equals `function` on a grid of points.

    It may be `Identity`; it is None where `function` equals none that has at most two
    parameters, or takes no tensor of three axes.
    """
    with eagerly():
        try:
            found = _values(function, _GRID)
            alone = _values(function, _GRID[..., :7])
        except Exception:  # whatever a function of the user raises
            return None
        if found.shape != _GRID.shape or not np.isfinite(found).all():
            return None
        if not _equal(found[..., :7], alone):
            candidates: Iterator[ProximalActivation] = iter([Softmax()])
        else:
            candidates = _candidates(found[0, 0])
        for candidate in candidates:
            if _equal(_values(candidate.sigma, _GRID), found):
                return candidate
    return None


def _candidates(values: np.ndarray) -> Iterator[ProximalActivation]:
    """Return activations whose parameters are read off the values on the grid."""
    low, high = float(values[0]), float(values[-1])
    yield from (ReLU(), Tanh(), Sigmoid(), Softplus(), Softsign(), Identity())
    yield from (Arctan(), SignedLog(), ISRU())
    if 1e-4 < -low / _FAR < 1:
        yield LeakyReLU(round(-low / _FAR, 6))
    if -1 <= low < -1e-4:
        yield ELU(round(-low, 6))
    if low < high < _FAR:
        yield HardTanh(round(low, 6), round(high, 6))
    if 1e-4 < _FAR - high < _FAR:
        yield SoftThreshold(round(_FAR - high, 6))


def _values(function: Callable[[Any], Any], points: np.ndarray) -> np.ndarray:
    values = function(ops.convert_to_tensor(points))
    return np.asarray(ops.convert_to_numpy(values), "float32")


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-4, atol=1e-5))
