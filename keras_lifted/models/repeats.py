"""Runs of equal blocks of any kind: one or more segments in a row that repeat."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.mapping import from_keras
from keras_lifted.models.segments import Application, Segment, find_segments, kind

Tensor = Any


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

    @property
    def activation_of_dense(self) -> ProximalActivation | None:
        """`σ` of a block `σ(x W + b)`, with a skip or not; None of any other."""
        dense, *others = self.layers[:-1] if self.residual else self.layers
        if type(dense) is not keras.layers.Dense or len(others) > 1:
            return None
        more = (
            dense.kernel_regularizer,
            dense.bias_regularizer,
            dense.activity_regularizer,
            dense.kernel_constraint,
            dense.bias_constraint,
            dense.lora_enabled,
            dense.quantization_mode,
        )
        linear = dense.activation in (None, keras.activations.linear)
        if any(more) or (others and not linear):
            return None
        return from_keras(others[0] if others else dense.activation)

    @property
    def variables(self) -> set[int]:
        """Identities of the variables of its layers."""
        return {id(v) for layer in self.layers for v in layer.variables}

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
    applications: Sequence[Application],
    shown: set[int],
    least: int,
    within: Segment | None = None,
    skips: frozenset[int] = frozenset(),
) -> list[list[Repeat]]:
    """Find runs of at least `least` equal blocks with weights.

    `applications` are all calls of layers, in an order in which they can be made,
    `shown` identities of the model's outputs. A segment that is in no run is searched
    by itself: calls `within` it are looked at, and `skips` are identities of tensors
    that lead around segments, to a later one.
    """
    segments = find_segments(applications, shown, within, skips)
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
        elif len(segments[at].applications) > 1 and id(segments[at].start) not in skips:
            around = skips | {id(segments[at].start)}
            runs += find_repeats(applications, shown, least, segments[at], around)
        at += 1
    return runs


def share_weights(run: Sequence[Repeat]) -> bool:
    """Return whether the blocks have a layer with weights in common."""
    return bool(run[0].variables & run[1].variables)


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
        if len(run) >= least and _size(run) > _size(best) and _foldable(run):
            best = run
    return best


def _block(segments: Sequence[Segment], at: int, period: int) -> Any:
    """Return what equal blocks have in common; None where nothing can be folded."""
    block = segments[at : at + period]
    if len(block) < period or any(each.signature is None for each in block):
        return None
    if kind(block[0].start) != kind(block[-1].end):
        return None
    return [each.signature for each in block]


def _foldable(run: Sequence[Repeat]) -> bool:
    dense = run[0].activation_of_dense is not None
    return bool(run[0].variables) and (dense or not share_weights(run))
