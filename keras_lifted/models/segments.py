"""Runs of equal blocks of any kind in the graph of a model.

The graph is cut wherever only a single tensor leads on. What lies between two cuts is
a segment, and a block is one or more segments in a row that repeat.
"""

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.layers.mapping import from_keras
from keras_lifted.models.runs import Application

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Segment:
    """The `applications` from one tensor to another."""

    start: Tensor
    end: Tensor
    calls: tuple[int, int]  # places of the first and the last among all applications
    applications: tuple[Application, ...]
    signature: Any  # what equal segments have in common; None of one not folded

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers that are called."""
        return tuple(each.layer for each in self.applications)

    @property
    def branch(self) -> Tensor | None:
        """What is added to the start to make the end; None if it is no such sum."""
        last = self.applications[-1]
        if type(last.layer) is not keras.layers.Add or len(last.reads) != 2:
            return None
        read = keras.tree.flatten(last.arguments)
        others = [each for each in read if each is not self.start]
        return others[0] if len(others) == 1 else None

    def replay(self, u: Tensor, until: Tensor) -> Tensor:
        """Return the tensor `until`, where the segment starts from `u`."""
        made = {id(self.start): u}

        def new(each: Any) -> Any:
            return made.get(id(each), each)

        for each in self.applications:
            arguments, keywords = keras.tree.map_structure(new, each.arguments)
            result = each.layer(*arguments, **keywords)
            old = keras.tree.flatten(each.result)
            for tensor, value in zip(old, keras.tree.flatten(result), strict=True):
                made[id(tensor)] = value
        return made[id(until)]


@dataclasses.dataclass(frozen=True)
class Repeat:
    """One of the equal blocks of a run, of one or more segments."""

    segments: tuple[Segment, ...]

    @property
    def calls(self) -> tuple[int, int]:
        """Places of the first and the last call among the applications."""
        return self.segments[0].calls[0], self.segments[-1].calls[1]

    @property
    def layers(self) -> tuple[Any, ...]:
        """The layers that are called."""
        return tuple(layer for each in self.segments for layer in each.layers)

    @property
    def residual(self) -> bool:
        """Whether all that it does is to add to what it reads."""
        return all(each.branch is not None for each in self.segments)

    @property
    def activated(self) -> bool:
        """Whether it ends in an activation."""
        return from_keras(self.layers[-1]) is not None

    def block(self) -> keras.layers.Layer:
        """Return the block, without its skip, as one layer made of the model's."""
        if len(self.layers) == 1:
            return self.layers[0]
        start = self.segments[0].start
        u = inputs = keras.Input(batch_shape=start.shape, dtype=start.dtype)
        total: Tensor = None
        for each in self.segments:
            if self.residual:
                branch = each.replay(u, each.branch)
                total = branch if total is None else keras.layers.Add()([total, branch])
                u = keras.layers.Add()([u, branch])
            else:
                total = u = each.replay(u, each.end)
        return keras.Model(inputs, total)


def find_repeats(
    applications: Sequence[Application], shown: set[int], least: int
) -> list[list[Repeat]]:
    """Find runs of at least `least` equal blocks with weights, as `find_runs` does."""
    segments = _segments(applications, shown)
    runs: list[list[Repeat]] = []
    at = 0
    while at < len(segments):
        run = _longest(segments, at, least)
        for later in range(at + 1, at + len(run[0].segments) if run else 0):
            other = _longest(segments, later, least)
            if _size(other) == _size(run) and not run[0].activated:
                run = other if other[0].activated else run
        if run:
            runs.append(run)
            at = segments.index(run[-1].segments[-1])
        at += 1
    return runs


def _size(run: Sequence[Repeat]) -> int:
    return sum(len(each.segments) for each in run)


def _longest(segments: Sequence[Segment], at: int, least: int) -> list[Repeat]:
    """Return the longest run that starts there, of the shortest blocks."""
    best: list[Repeat] = []
    for period in range(1, (len(segments) - at) // least + 1):
        first = _block(segments, at, period)
        run = [Repeat(tuple(segments[at : at + period]))]
        while first and _block(segments, at + len(run) * period, period) == first:
            start = at + len(run) * period
            run.append(Repeat(tuple(segments[start : start + period])))
        weighted = any(layer.variables for layer in run[0].layers)
        if len(run) >= least and _size(run) > _size(best) and weighted:
            best = run
    return best


def _block(segments: Sequence[Segment], at: int, period: int) -> Any:
    """Return what equal blocks have in common; None where nothing can be folded."""
    block = segments[at : at + period]
    if len(block) < period or any(each.signature is None for each in block):
        return None
    if _kind(block[0].start) != _kind(block[-1].end):
        return None
    return [each.signature for each in block]


def _kind(tensor: Tensor) -> tuple[Any, str]:
    return tuple(tensor.shape), str(tensor.dtype)


def _segments(applications: Sequence[Application], shown: set[int]) -> list[Segment]:
    times = collections.Counter(id(each.layer) for each in applications)
    last_read = {t: i for i, each in enumerate(applications) for t in each.reads}
    made = {t for each in applications for t in each.returns}
    live: dict[int, Any] = {}
    for each in applications:  # what comes from outside
        for tensor in keras.tree.flatten(each.arguments):
            if id(tensor) not in made and isinstance(tensor, keras.KerasTensor):
                live[id(tensor)] = tensor
    found: list[Segment] = []
    start, first = next(iter(live.values())) if len(live) == 1 else None, 0
    for place, each in enumerate(applications):
        live.update(zip(each.returns, keras.tree.flatten(each.result), strict=True))
        live = {t: v for t, v in live.items() if last_read.get(t, -1) > place}
        if len(live) == 1 or place == len(applications) - 1:
            end = next(iter(live.values()), keras.tree.flatten(each.result)[-1])
            inside = tuple(applications[first : place + 1])
            signature = None
            if start is not None and id(start) not in shown:
                signature = _signature(inside, start, times, shown - {id(end)})
            found.append(Segment(start, end, (first, place), inside, signature))
            start, first = end, place + 1
    return found


def _signature(
    applications: Sequence[Application],
    start: Tensor,
    times: dict[int, int],
    shown: set[int],
) -> Any:
    number = {id(start): 0}
    parts: list[Any] = [_kind(start)]
    for each in applications:
        layer = each.layer
        if not isinstance(layer, keras.layers.Layer) or shown & set(each.returns):
            return None
        if times[id(layer)] > 1 and layer.variables:
            return None
        try:
            config = _nameless(layer.get_config())
        except NotImplementedError:
            return None
        read = [number.get(id(a), a) for a in keras.tree.flatten(each.arguments)]
        parts.append((type(layer), config, repr(read)))
        for tensor in each.returns:
            number[tensor] = len(number)
    return parts


def _nameless(config: Any) -> str:
    """Return a config in which names of layers are numbers, in the order they come."""
    names: dict[str, int] = {}

    def replaced(part: Any) -> Any:
        if isinstance(part, dict):
            if "name" in part and {"trainable", "batch_shape"} & set(part):  # a layer's
                names.setdefault(part["name"], len(names))
            return {key: replaced(value) for key, value in part.items()}
        if isinstance(part, (list, tuple)):
            return [replaced(value) for value in part]
        return names.get(part, part) if isinstance(part, str) else part

    return repr(replaced(config))
