"""How a batch's inputs and displacements reach the weight blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from keras_lifted.backend import replicas
from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.lockstep import Parts
from keras_lifted.geometries.lockstep import lockstep
from keras_lifted.geometries.refresh import Due
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.lifting.swept import Swept
from keras_lifted.optimizers.weight_block import WeightBlock

if TYPE_CHECKING:
    from keras_lifted.optimizers.isgm import ISGM

Tensor = Any


def take_in(
    optimizer: ISGM,
    problem: LiftedProblem,
    last: Swept,
    due: Due,
    keep: Callable[[WeightBlock], Tensor],
) -> dict[int, Displacement]:
    """Let all blocks take in a batch; where their kernels move, if that tells.

    Args:
        optimizer: of the blocks.
        problem: the batch.
        last: what its last sweep found.
        due: what the step computes anew.
        keep: what the running mean of a block's gradients keeps of itself.

    Returns:
        id of a block -> its kernel's displacement, of those that follow samples.
    """
    blocks = [optimizer.weight_blocks[int(index)] for index in last.inputs]
    runs = [
        _of_block(optimizer, index, problem, last, due, keep) for index in last.inputs
    ]
    found = zip(blocks, lockstep(runs), strict=True)
    return {id(block): moved for block, moved in found if moved is not None}


def _of_block(
    optimizer: ISGM,
    index: str,
    problem: LiftedProblem,
    last: Swept,
    due: Due,
    keep: Callable[[WeightBlock], Tensor],
) -> Parts[Displacement | None]:
    """Take in a layer's inputs; where its kernel moves, if they tell."""
    block, rows = optimizer.weight_blocks[int(index)], last.inputs[index]
    shift = yield from block.observe(rows, due.moments)
    block.weigh(problem, last.owners.get(index))
    d = last.displacements.get(index)
    if d is not None:
        yield from block.signal.measure(rows - block.moments.mean, d, due)
    elif last.displacements:  # patches of images: as much as in the other layers
        known = [optimizer.weight_blocks[int(i)].signal for i in last.displacements]
        block.signal.assume(known)
    if not (block.geometry.follows and _plain(optimizer, problem, index)):
        return None
    rest, rate = last.rests[index], optimizer.learning_rate
    moved = yield from block.follow(rows, d, rest, shift, rate, keep(block), due)
    return moved


def _plain(optimizer: ISGM, problem: LiftedProblem, index: str) -> bool:
    """Whether the step takes a layer's gradients as the batches give them."""
    changed = (
        optimizer.penalty.contrastive
        or optimizer.gradient_accumulation_steps
        or optimizer.clipnorm
        or optimizer.global_clipnorm
        or optimizer.clipvalue
        or problem.model.optimizer is not optimizer
        or replicas() > 1
    )
    return index in problem.structure.plain and not changed
