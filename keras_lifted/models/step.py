"""One lifted training step of a model, as functions of the model and a batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from keras_lifted import backend
from keras_lifted import optimizers
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import Block
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.models.indices import take_index
from keras_lifted.models.persistence import build
from keras_lifted.models.persistence import checked_index
from keras_lifted.models.watch import check_rows
from keras_lifted.models.watch import finite_tensors
from keras_lifted.updates.base import Solution

# Samples of a batch from which `fit` logs the gap and the energy; all of them
# where lifted variables are persistent.
SHOWN = 32


@dataclasses.dataclass
class Lifting:
    """What `compile` sets up for a model: neither weights nor sub-layers.

    Attributes:
        reductions: how each loss reduces over samples.
        gap: tracks the mean penalty.
        energy: tracks the lifted energy.
        blocks: the model's blocks, once they have been looked for.
    """

    reductions: tuple[str | None, ...]
    gap: keras.metrics.Mean
    energy: keras.metrics.Mean
    blocks: list[Block] | None = None


def train_on(model: Any, data: Any) -> Any:
    """Update lifted variables, weights and metrics; returns the metrics.

    Nothing is learned from a batch whose energy is not finite.
    """
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    x, index = take_index(x)
    index = checked_index(model, index)
    shown = SHOWN if index is None else None
    problem, solution = _solve(model, x, y, sample_weight, shown, index)
    forward, loss = solution.forward, solution.forward.loss
    lifted: Any = optimizers.lifted_part(model.optimizer)
    if index is not None:
        loss = ops.where(lifted.memory.holds(index), loss, float("nan"))
    # A reduction last: what follows reads one flag, and does not compute it again.
    finite = ops.all(ops.isfinite(ops.stack([loss, solution.energy])))
    if index is not None:
        new = solution.last.carriers
        lifted.memory.write(index, problem.stored, new, finite)
    for variable, value in forward.updates:
        variable.assign(ops.where(finite, value, variable.value))
    gradients = [
        None if g is None else ops.where(finite, g, ops.zeros_like(g))
        for g in solution.last.gradients
    ]
    backend.apply_gradients(model.optimizer, gradients, problem.trainable)
    size = ops.cast(problem.batch.size, "float32")
    copies = backend.replicas()
    gap = sum(solution.gaps.values()) / max(len(solution.gaps), 1)
    energy = solution.energy * copies
    model._loss_tracker.update_state(loss * copies, sample_weight=size)
    model._lifting.gap.update_state(gap, sample_weight=size)
    model._lifting.energy.update_state(energy, sample_weight=size)
    return model.compute_metrics(x, y, forward.outputs, sample_weight)


def solve_once(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[LiftedProblem, Solution]:
    """What `train_on` would find for a batch of arrays; changes nothing.

    Raises:
        ValueError: if the model is not compiled, or the batch is malformed.
    """
    if not getattr(model, "compiled", False):
        raise ValueError(
            f"The model '{model.name}' is not compiled. Call "
            "`model.compile(optimizer=..., loss=...)` first: lifted "
            "variables depend on the loss and the penalty."
        )
    x, y, sample_weight = (finite_tensors(part) for part in (x, y, sample_weight))
    check_rows(x=x, y=y, sample_weight=sample_weight)
    build(model, x)
    with keras.StatelessScope(collect_losses=True):
        return _solve(model, x, y, sample_weight)


def _solve(
    model: Any,
    x: Any,
    y: Any,
    sample_weight: Any,
    shown: int | None = None,
    index: Any = None,
) -> tuple[LiftedProblem, Solution]:
    build(model, x)
    lifted: Any = optimizers.lifted_part(model.optimizer)
    problem = LiftedProblem(
        model,
        model.lifted_blocks,
        Batch(x, y, sample_weight, model._lifting.reductions, backend.replicas()),
        lifted.penalty,
        lifted.lifted.weight.value,
        model.optimizer.scale_loss(ops.ones(())),
        shown,
    )
    if index is not None:
        problem.stored = lifted.memory.read(index, problem.structure)
    return problem, lifted.solve(problem)
