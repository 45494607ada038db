"""Values of many blocks that are computed anew now and then, in one branch.

A branch of a compiled step costs a device a stop: the host reads the predicate before
it sends more work. A block's step is therefore written as a generator that yields each
such value, an `Anew`, and goes on with what it is sent; `lockstep` runs those of all
blocks side by side and computes what is due at the same time in one branch.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple
from typing import TypeVar

from keras import ops

from keras_lifted.backend import cond

Tensor = Any
T = TypeVar("T")


class Anew(NamedTuple):
    """A structure of tensors that is computed anew where that is due.

    Attributes:
        due: a predicate, `()`; the same object for all that share a branch.
        compute: the new value.
        known: the value until then.
    """

    due: Tensor
    compute: Callable[[], Any]
    known: Any


# What is computed by parts: yields `Anew`, is sent values, returns T.
Parts = Generator[Anew, Any, T]


def lockstep(runs: Sequence[Parts[T]]) -> list[T]:
    """What the runs return, with one branch for what they ask for at the same time."""
    results: dict[int, T] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(runs)))
    while answers:
        asked: dict[int, Anew] = {}
        for i, answer in answers.items():
            try:
                asked[i] = runs[i].send(answer)
            except StopIteration as end:
                results[i] = end.value
        answers = _answers(asked)
    return [results[i] for i in range(len(runs))]


def finite_or(known: Tensor, value: Tensor) -> Tensor:
    """`value`, or `known` where not all of it is finite."""
    return ops.where(ops.all(ops.isfinite(value)), value, known)


def _answers(asked: dict[int, Anew]) -> dict[int, Any]:
    answers: dict[int, Any] = {}
    for due in {id(each.due): each.due for each in asked.values()}.values():
        same = {i: each for i, each in asked.items() if each.due is due}
        answers.update(zip(same, _branch(due, list(same.values())), strict=True))
    return answers


def _branch(due: Tensor, values: list[Anew]) -> list[Any]:
    new: list[Any] = cond(
        due,
        lambda: [each.compute() for each in values],
        lambda: [each.known for each in values],
    )
    return new
