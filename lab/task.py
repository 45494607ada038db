"""What a task is: data, network, loss, qualities."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from data import Arrays

Quality = Callable[[np.ndarray, np.ndarray], float]


class Data(NamedTuple):
    """Inputs and targets; validation is held out of the training set."""

    train: Arrays
    validation: Arrays
    test: Arrays


@dataclasses.dataclass(frozen=True)
class Task:
    """A network to train, and how well it does.

    Attributes:
        load: data from a number of training images, None for the default.
        build: the network as a `keras.Model` or a `kl.LiftedModel`; its last
            layer is one of `methods.OUTPUTS`.
        loss: a new Keras loss.
        quality: a number from predictions and targets.
        unit: what `quality` is, with its unit.
        higher_is_better: the direction of `quality`.
        others: further qualities by name, which are reported beside it.
    """

    load: Callable[[int | None], Data]
    build: Callable[[type], keras.Model]
    loss: Callable[[], keras.losses.Loss]
    quality: Quality
    unit: str
    higher_is_better: bool = True
    batch_size: int = 128
    others: dict[str, Quality] = dataclasses.field(default_factory=dict)

    def score(self, quality: float) -> float:
        """A number to maximise; the worst there is for a run that failed."""
        if not np.isfinite(quality):
            return -np.inf
        return quality if self.higher_is_better else -quality


def split(
    train: Arrays, test: Arrays, limit: int | None, held_out: int, seed: int = 0
) -> Data:
    """The first `limit` of the shuffled training set; its last are held out."""
    x, y = train
    order = np.random.default_rng(seed).permutation(len(x))
    held_out = min(held_out, len(x) // 6)
    kept, held = order[: len(x) - held_out][:limit], order[len(x) - held_out :]
    return Data((x[kept], y[kept]), (x[held], y[held]), test)


def psnr(prediction: np.ndarray, target: np.ndarray) -> float:
    """Mean over images of the peak signal-to-noise ratio in dB, peak 1."""
    axes = tuple(range(1, target.ndim))
    errors = np.mean((prediction - target) ** 2, axis=axes)
    return float(np.mean(-10 * np.log10(errors)))
