"""Segments of the graph of a model.

The graph is cut wherever only a single tensor leads on; what lies between two cuts is
a segment.
"""

import collections
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.layers.base import ProximalActivation

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Application:
    """One call of a layer; `arguments` are positional ones and keywords."""

    layer: keras.layers.Layer
    arguments: tuple[Any, Any]
    result: Any

    @functools.cached_property
    def reads(self) -> tuple[int, ...]:
        """Identities of the tensors that it reads."""
        return tuple(id(each) for each in keras.tree.flatten(self.arguments))

    @functools.cached_property
    def returns(self) -> tuple[int, ...]:
        """Identities of the tensors that it returns."""
        return tuple(id(each) for each in keras.tree.flatten(self.result))


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


def kind(tensor: Tensor) -> tuple[Any, str]:
    """Return the shape and the dtype of a tensor."""
    return tuple(tensor.shape), str(tensor.dtype)


def find_segments(
    applications: Sequence[Application],
    shown: set[int],
    within: Segment | None = None,
    skips: frozenset[int] = frozenset(),
) -> list[Segment]:
    """Cut all applications, or those `within` a segment, where one tensor leads on."""
    uses = collections.Counter(
        id(variable)
        for each in applications
        for variable in getattr(each.layer, "variables", ())
    )
    last_read = {t: i for i, each in enumerate(applications) for t in each.reads}
    if within is None:
        first, last = 0, len(applications) - 1
        live = _from_outside(applications)
        start = next(iter(live.values())) if len(live) == 1 else None
    else:
        (first, last), live, start = within.calls, {}, within.start
    found: list[Segment] = []
    for place in range(first, last + 1):
        each = applications[place]
        live.update(zip(each.returns, keras.tree.flatten(each.result), strict=True))
        live = {
            tensor: value
            for tensor, value in live.items()
            if last_read.get(tensor, -1) > place and tensor not in skips
        }
        if len(live) == 1 or place == last:
            end = next(iter(live.values()), keras.tree.flatten(each.result)[-1])
            inside = tuple(applications[first : place + 1])
            signature = None
            if start is not None and id(start) not in shown:
                signature = _signature(inside, start, uses, shown - {id(end)})
            found.append(Segment(start, end, (first, place), inside, signature))
            start, first = end, place + 1
    return found


def _from_outside(applications: Sequence[Application]) -> dict[int, Tensor]:
    """Return the tensors that are read and not made, by identity."""
    made = {tensor for each in applications for tensor in each.returns}
    return {
        id(tensor): tensor
        for each in applications
        for tensor in keras.tree.flatten(each.arguments)
        if isinstance(tensor, keras.KerasTensor) and id(tensor) not in made
    }


def _signature(
    applications: Sequence[Application],
    start: Tensor,
    uses: dict[int, int],
    shown: set[int],
) -> Any:
    number = {id(start): 0}
    parts: list[Any] = [kind(start)]
    for each in applications:
        layer = each.layer
        if not isinstance(layer, keras.layers.Layer) or shown & set(each.returns):
            return None
        tied = [id(v) for v in layer.variables if uses[id(v)] > 1]
        whole = tied and len(tied) == len(layer.variables)
        if whole and not isinstance(layer, ProximalActivation):
            return None
        try:
            config = _nameless(layer.get_config())
        except NotImplementedError:
            return None
        read = [repr(number.get(id(a), a)) for a in keras.tree.flatten(each.arguments)]
        if type(layer) is keras.layers.Add:
            read.sort()
        parts.append((type(layer), config, read, tied))
        for tensor in each.returns:
            number[tensor] = len(number)
    return parts


def _nameless(config: Any) -> str:
    """Return a config without initializers, where names of layers are numbers."""
    names: dict[str, int] = {}

    def replaced(part: Any) -> Any:
        if isinstance(part, dict):
            if "name" in part and {"trainable", "batch_shape"} & set(part):  # a layer's
                names.setdefault(part["name"], len(names))
            kept = [key for key in part if not key.endswith("initializer")]
            return {key: replaced(part[key]) for key in kept}
        if isinstance(part, (list, tuple)):
            return [replaced(value) for value in part]
        return names.get(part, part) if isinstance(part, str) else part

    return repr(replaced(config))
