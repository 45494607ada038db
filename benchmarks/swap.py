"""Measures models that others wrote, with `kl.LiftedModel` for `keras.Model`."""

from __future__ import annotations

import gc
from typing import Any

import keras
import numpy as np
from keras import tree

import keras_lifted as kl
from benchmarks import timing
from benchmarks.keras_io import BATCH
from benchmarks.runner import Runner, warm_process
from benchmarks.store import Record
from benchmarks.zoo import ZOO
from keras_lifted.lifting.blocks import count_ordinary

# First steps of each; the fastest counts.
FIRST_STEPS = 2


def swap(runner: Runner, name: str) -> None:
    """Measure a model of the zoo beside its lifted self, as Keras compiles it."""
    warm_process()
    config = {
        **{"measure": "zoo", "task": name, "method": "lifted_adam"},
        **{"arguments": {}, "batch_size": BATCH, "jit_compile": "auto"},
    }
    runner.measured(config, _measure)
    gc.collect()


def _measure(config: Record) -> Record:
    """First step and step of both, and how many activations are lifted."""
    name = config["task"]
    first = []
    for _ in range(FIRST_STEPS):
        made = [_compiled(name, lifted) for lifted in (False, True)]
        models = [model for model, *_ in made]
        first.append([timing.steps(*each, BATCH, 1) for each in made])
    _, x, y = made[0]
    lifted = {key.split(":")[0] for key in models[1].lifted_variables(x, y)}
    x, y = tree.map_structure(_round, (x, y))
    times = timing.in_turn(models, x, y, BATCH)
    ratios = times[:, 1] / times[:, 0]
    keras_first, our_first = np.min(first, axis=0)
    return {
        "seconds": float(np.median(times[:, 1])),
        "first_step": float(our_first),
        "summary": {
            "lifted": len(lifted),
            "activations": len(lifted) + count_ordinary(models[1]),
            "first_step / Keras's": float(our_first / keras_first),
            "step / Keras's": float(np.median(ratios)),
            "quartiles": [float(q) for q in np.percentile(ratios, (25, 75))],
            "weights": models[1].count_params(),
        },
    }


def _compiled(name: str, lifted: bool) -> tuple[keras.Model, Any, Any]:
    """A model, ready to train, and a batch."""
    keras.utils.set_random_seed(0)
    model, x, y, loss = ZOO[name]()
    if lifted:
        model = kl.LiftedModel(model.input, model.output)
    model.compile("adam", loss)
    return model, x, y


def _round(batch: np.ndarray) -> np.ndarray:
    """The batch, as often as a round of steps takes one."""
    return np.concatenate([batch] * (timing.WARM_UP + timing.STEPS))
