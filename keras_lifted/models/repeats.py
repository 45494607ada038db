"""Finds runs of equal blocks in the graph of a model."""

import collections
import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.mapping import from_keras

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Application:
    """One call of a layer; `arguments` are positional ones and keywords."""

    layer: keras.layers.Layer
    arguments: tuple[Any, Any]
    result: Any

    @functools.cached_property
    def reads(self) -> list[Tensor]:
        """The tensors that it reads."""
        given = keras.tree.flatten(self.arguments)
        return [each for each in given if isinstance(each, keras.KerasTensor)]

    @functools.cached_property
    def returns(self) -> list[Tensor]:
        """The tensors that it returns."""
        return list(keras.tree.flatten(self.result))


@dataclasses.dataclass(frozen=True)
class Repeat:
    """One of equal blocks: applications in a row, from tensor `start` to `end`."""

    place: int  # of the first among all applications
    applications: Sequence[Application]
    start: Tensor
    end: Tensor

    @property
    def layers(self) -> list[Any]:
        """The layers that are called."""
        return [each.layer for each in self.applications]

    @property
    def variables(self) -> set[int]:
        """Identities of the variables of its layers."""
        return {id(v) for layer in self.layers for v in layer.variables}

    @functools.cached_property
    def wiring(self) -> list[int]:
        """What is read, in order: 0 is the start, then tensors as they are made."""
        number = {id(self.start): 0}
        read: list[int] = []
        for each in self.applications:
            places = [number[id(tensor)] for tensor in each.reads]
            read += sorted(places) if type(each.layer) is keras.layers.Add else places
            for tensor in each.returns:
                number[id(tensor)] = len(number)
        return read

    @functools.cached_property
    def branches(self) -> list[Tensor]:
        """What is added to the start to make the end; empty if it is no such sum."""
        makers = {id(t): each for each in self.applications for t in each.returns}

        def added(end: Tensor) -> list[Tensor] | None:
            if end is self.start:
                return []
            maker = makers[id(end)]
            terms = maker.reads if type(maker.layer) is keras.layers.Add else []
            if len(terms) == 2 and all(_kind(each) == _kind(end) for each in terms):
                for stream, branch in itertools.permutations(terms):
                    if (before := added(stream)) is not None:
                        return [*before, branch]
            return None

        return added(self.end) or []

    @property
    def activation_of_dense(self) -> ProximalActivation | None:
        """`σ` of a block `σ(x W + b)`, with a skip or not; None of any other."""
        dense, *others = self.layers[:-1] if self.branches else self.layers
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

    def as_layer(self) -> keras.layers.Layer:
        """Return the block, without its skip, as one layer made of the model's."""
        if len(self.layers) == 1:
            return self.layers[0]
        inputs = keras.Input(batch_shape=self.start.shape, dtype=self.start.dtype)
        made = {id(self.start): inputs}
        for each in self.applications:
            arguments, keywords = keras.tree.map_structure(
                lambda given: made.get(id(given), given), each.arguments
            )
            result = keras.tree.flatten(each.layer(*arguments, **keywords))
            made.update(zip(map(id, each.returns), result, strict=True))
        terms = [made[id(each)] for each in self.branches or [self.end]]
        total = keras.layers.Add()(terms) if len(terms) > 1 else terms[0]
        return keras.Model(inputs, total)


class ModelGraph:
    """All applications of a model, in an order in which they can be made.

    `shown` are the outputs of the model.
    """

    def __init__(self, applications: Sequence[Application], shown: Sequence[Tensor]):
        self.applications = applications
        self._signatures = _signatures(applications)
        read = [(id(t), i) for i, each in enumerate(applications) for t in each.reads]
        self._last_read = dict(read) | {id(t): len(applications) for t in shown}

    def runs(self, least: int) -> list[list[Repeat]]:
        """Return runs of at least `least` equal blocks with weights.

        Blocks may begin at any place of a period: the longest run counts, and of
        equally long ones the first whose blocks end in an activation.
        """
        runs: list[list[Repeat]] = []
        place = 0
        while place < len(self.applications):
            run = self._longest(place, least)
            if run:
                places = range(place, place + len(run[0].applications))
                run = max((self._longest(each, least) for each in places), key=_rank)
                runs.append(run)
                place = run[0].place + _size(run)
            else:
                place += 1
        return runs

    def _longest(self, place: int, least: int) -> list[Repeat]:
        """Return the longest run that starts there, of the shortest blocks."""
        best: list[Repeat] = []
        for period in range(1, (len(self.applications) - place) // least + 1):
            if self._signatures[place] != self._signatures[place + period]:
                continue
            run: list[Repeat] = []
            block = self._block(place, period)
            while block and (not run or self._follows(run[-1], block)):
                run.append(block)
                block = self._block(block.place + period, period)
            if len(run) >= least and _size(run) > _size(best) and _foldable(run):
                best = run
        return best

    def _block(self, place: int, period: int) -> Repeat | None:
        """Return the block there, if one tensor leads in and one of its kind out."""
        inside = self.applications[place : place + period]
        if len(inside) < period or None in self._signatures[place : place + period]:
            return None
        made = {id(t): t for each in inside for t in each.returns}
        start = {id(t): t for each in inside for t in each.reads if id(t) not in made}
        end = inside[-1].returns
        if len(start) != 1 or len(end) != 1:
            return None
        block = Repeat(place, inside, *start.values(), *end)
        inner = made.keys() - {id(block.end)}
        leaves = any(self._last_read.get(t, -1) >= place + period for t in inner)
        return None if leaves or _kind(block.start) != _kind(block.end) else block

    def _follows(self, before: Repeat, block: Repeat) -> bool:
        """Return whether `block` does the same, and it alone reads the one before."""
        after = block.place + len(block.applications)
        return (
            block.start is before.end
            and self._last_read[id(before.end)] < after
            and block.wiring == before.wiring
            and self._signatures[block.place : after]
            == self._signatures[before.place : block.place]
        )


def share_weights(run: Sequence[Repeat]) -> bool:
    """Return whether the blocks have a layer with weights in common."""
    return bool(run[0].variables & run[1].variables)


def _foldable(run: Sequence[Repeat]) -> bool:
    dense = run[0].activation_of_dense is not None
    return bool(run[0].variables) and (dense or not share_weights(run))


def _size(run: Sequence[Repeat]) -> int:
    return sum(len(each.applications) for each in run)


def _rank(run: Sequence[Repeat]) -> tuple[int, bool]:
    return _size(run), bool(run) and from_keras(run[0].layers[-1]) is not None


def _kind(tensor: Tensor) -> tuple[Any, str]:
    return tuple(tensor.shape), str(tensor.dtype)


def _signatures(applications: Sequence[Application]) -> list[Any]:
    """Return what equal layers have in common; None for one that stays as it is."""
    uses = collections.Counter(
        id(variable)
        for each in applications
        for variable in getattr(each.layer, "variables", ())
    )

    def signature(each: Application) -> Any:
        layer = each.layer
        if not isinstance(layer, keras.layers.Layer):
            return None
        tied = [id(v) for v in layer.variables if uses[id(v)] > 1]
        whole = tied and len(tied) == len(layer.variables)
        if whole and not isinstance(layer, ProximalActivation):
            return None
        try:
            config = _nameless(layer.get_config())
        except NotImplementedError:
            return None
        given = keras.tree.flatten(each.arguments)
        fixed = [None if isinstance(a, keras.KerasTensor) else repr(a) for a in given]
        return type(layer), config, fixed, tied

    return [signature(each) for each in applications]


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
