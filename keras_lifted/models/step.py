"""One lifted training step of a model, as functions of the model and a batch."""

import contextlib
import dataclasses
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_lifted import backend, optimizers
from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.blocks import Block, count_ordinary
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.metrics import LiftedEnergy, LiftedMetric
from keras_lifted.models.build import build
from keras_lifted.models.persistence import checked_index
from keras_lifted.persistent.indices import take_index
from keras_lifted.updates.base import Solution, solve

Tensor = Any


@dataclasses.dataclass
class Lifting:
    """What `compile` sets up for a model: neither weights nor sub-layers."""

    reductions: tuple[str | None, ...]  # of each loss over samples
    metrics: list[LiftedMetric]
    watched: bool = False  # does a callback look at gaps and lifted variables?
    blocks: list[Block] | None = None  # None before they were looked for
    told: bool = False  # was the user told what is not lifted?


def train_on(model: Any, data: Any) -> Any:
    """Update all from a batch, unless something in it is not finite; return metrics."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    x, index = take_index(x)
    index = checked_index(model, index)
    problem = _problem(model, x, y, sample_weight, index)
    _tell(model, problem)
    optimizer: Any = optimizers.lifted_part(model.optimizer)
    bounds = optimizer.curvature(problem)
    solution = solve(optimizer.lifted_update, problem, bounds)
    loss = solution.forward.loss
    if index is not None:
        loss = ops.where(optimizer.memory.holds(index), loss, float("nan"))
    gradients = optimizer.directions(problem, solution)
    good = _is_good(model, loss, gradients)
    optimizer.observe(problem, solution, bounds, good, model._lifting.watched)
    if index is not None:
        optimizer.memory.write(index, problem.stored, solution.last.coordinates, good)
    for variable, value in solution.forward.updates:
        variable.assign(ops.where(good, value, variable.value))
    logs = _logs(model, problem, solution, loss)  # before parameters of σ move
    if problem.trainable:
        backend.apply_if(good, model.optimizer, gradients, problem.trainable)
    return logs


def solve_once(
    model: Any, x: Any, y: Any, sample_weight: Any
) -> tuple[LiftedProblem, Solution]:
    """Return what `train_on` would find for a batch of arrays; change nothing."""
    if not getattr(model, "compiled", False):
        raise ValueError(
            f"The model '{model.name}' is not compiled. Call "
            "`model.compile(optimizer=..., loss=...)` first: lifted "
            "variables depend on the loss and the penalty."
        )
    x, y, sample_weight = (
        tree.map_structure(_finite_tensor, part) for part in (x, y, sample_weight)
    )
    _check_rows(x=x, y=y, sample_weight=sample_weight)
    build(model, x)
    with keras.StatelessScope(collect_losses=True):
        problem = _problem(model, x, y, sample_weight)
        optimizer: Any = optimizers.lifted_part(model.optimizer)
        bounds = optimizer.curvature(problem)
        return problem, solve(optimizer.lifted_update, problem, bounds)


def _finite_tensor(value: Any) -> Any:
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError(
                "The batch must be finite. Received: an array of shape "
                f"{array.shape} with {int((~np.isfinite(array)).sum())} NaN or "
                "infinite values. Clean the data (e.g. numpy.nan_to_num)."
            )
        array = array.astype(keras.config.floatx())
    return ops.convert_to_tensor(array)


def _check_rows(**parts: Any) -> None:
    """Raise a ValueError unless all tensors have as many samples as `x`."""
    rows = {
        name: {n for t in tree.flatten(part) if t is not None for n in t.shape[:1]}
        for name, part in parts.items()
    }
    if not rows["x"] or len(set().union(*rows.values())) > 1:
        raise ValueError(
            "A batch needs inputs, and the same number of samples in all its "
            "arrays. Received numbers of samples: "
            f"{ {name: sorted(sizes) for name, sizes in rows.items()} }."
        )


def _problem(
    model: Any, x: Any, y: Any, sample_weight: Any, index: Any = None
) -> LiftedProblem:
    build(model, x)
    optimizer: Any = optimizers.lifted_part(model.optimizer)
    update = optimizer.lifted_update
    problem = LiftedProblem(
        model,
        model.lifted_blocks,
        Batch(x, y, sample_weight, model._lifting.reductions, backend.replicas()),
        optimizer.penalty,
        optimizer.state.weight.value,
        optimizer.first_weight if update.chooses_weight else None,
        model.optimizer.scale_loss(ops.ones(())),
        update.needs_curvature,
    )
    if index is not None:
        problem.stored = optimizer.memory.read(index, problem.structure)
    return problem


def _is_good(model: Any, loss: Tensor, gradients: list[Tensor]) -> Tensor:
    """Return whether a batch is finite; loss scaling sees to gradients by itself."""
    numbers = [ops.sum(loss)]
    if not isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer):
        given = [getattr(g, "values", g) for g in gradients if g is not None]
        numbers += [lifted_real(ops.sum(g)) for g in given]
    return backend.everywhere(ops.all(ops.isfinite(ops.stack(numbers))))


def _logs(
    model: Any, problem: LiftedProblem, solution: Solution, loss: Tensor
) -> dict[str, Any]:
    batch, copies = problem.batch, backend.replicas()
    _build_metrics(model, batch, solution.forward.outputs)
    size = ops.cast(batch.size, "float32")
    for metric in model.metrics:
        if metric.name == "loss":
            metric.update_state(loss * copies, sample_weight=size)
            break
    for lifted in model._lifting.metrics:
        if isinstance(lifted, LiftedEnergy):
            lifted.observe(solution.energy(problem) * copies, size)
        elif problem.structure.calls:
            lifted.observe(solution.relative_gap(problem), size)
    logs: dict[str, Any] = model.compute_metrics(
        batch.x, batch.y, solution.forward.outputs, batch.sample_weight
    )
    return logs


def _build_metrics(model: Any, batch: Batch, outputs: Any) -> None:
    """Create the variables of metrics: TensorFlow traces a step twice that does.

    They are made from zeros; metrics that refuse these are left to the step.
    """
    if backend.replicas() > 1 or all(getattr(m, "built", True) for m in model.metrics):
        return

    def zeros(tensor: Any) -> np.ndarray | None:
        if tensor is None:
            return None
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        return np.zeros([size or 1 for size in tensor.shape], dtype)

    def measured(*parts: Any) -> None:
        model.compute_metrics(None, *parts)
        model.reset_metrics()

    # A thread of its own runs at once, and outside of what creates variables twice.
    with ThreadPoolExecutor(1) as thread, contextlib.suppress(Exception):
        parts = (batch.y, outputs, batch.sample_weight)
        thread.submit(measured, *tree.map_structure(zeros, parts)).result()


def _tell(model: Any, problem: LiftedProblem) -> None:
    """Warn once of activations that are not lifted, and of frozen models."""
    lifting = model._lifting
    if lifting.told:
        return
    lifting.told = True
    if not problem.trainable:
        warnings.warn("The model does not have any trainable weights.", stacklevel=2)
        return
    every = not problem.penalty.needs_proximal
    ordinary = len(problem.elsewhere) + (0 if every else count_ordinary(model))
    if ordinary:
        lifted = len({call.index for call in problem.structure.calls})
        name = str(model.name)[:40]
        warnings.warn(
            f"{lifted} of {lifted + ordinary} activations of '{name}' are lifted; the "
            "others are differentiated as usual. See the FAQ, or use Quadratic to "
            "lift all.",
            stacklevel=2,
        )
