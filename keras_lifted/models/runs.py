"""Runs of equal Dense blocks in the graph of a model."""

import collections
import dataclasses
import functools
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

import keras

from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.mapping import from_keras


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
class FoldableBlock:
    """`σ(x W + b)`, or `x + σ(x W + b)` if it is `residual`.

    `layers` begins with the Dense layer; activation and sum follow where these are
    layers of their own.
    """

    start: int  # identity of `x`
    end: int  # identity of the result
    calls: tuple[int, int]  # places of the first and the last among the applications
    layers: tuple[keras.layers.Layer, ...]
    activation: ProximalActivation
    residual: bool

    @property
    def dense(self) -> Any:
        """The Dense layer."""
        return self.layers[0]

    def like(self, other: Self) -> bool:
        """Return whether both fit in one stack."""
        return self._settings() == other._settings() and (
            self.activation is other.activation or not self.activation.weights
        )

    def _settings(self) -> tuple[Any, ...]:
        dense, config = self.dense, self.activation.get_config()
        unnamed = repr({**config, "name": None, "dtype": None})
        kinds = (type(self.activation), unnamed, self.residual)
        sizes = (dense.units, dense.use_bias, dense.trainable)
        return (*kinds, *sizes, dense.dtype_policy.name)


def find_runs(
    applications: Sequence[Application], shown: set[int], least: int
) -> list[list[FoldableBlock]]:
    """Find maximal runs of at least `least` equal blocks in a row.

    `applications` are all calls of layers, `shown` identities of the model's outputs.
    """
    readers: dict[int, list[Application]] = {}
    for each in applications:
        for tensor in each.reads:
            readers.setdefault(tensor, []).append(each)
    blocks = _blocks(applications, readers, shown)
    runs: list[list[FoldableBlock]] = []
    at_end: dict[int, list[FoldableBlock]] = {}
    for start, block in blocks.items():
        run = at_end.pop(start, None)
        inside = len(readers[start]) == 1 + block.residual and start not in shown
        if run is None or not inside or not run[-1].like(block):
            run = []
            runs.append(run)
        run.append(block)
        at_end[block.end] = run
    return [run for run in runs if len(run) >= least]


def _blocks(
    applications: Sequence[Application],
    readers: Mapping[int, list[Application]],
    shown: set[int],
) -> dict[int, FoldableBlock]:
    """Return blocks by where they start; a skip around one makes it residual."""
    place = {id(each): i for i, each in enumerate(applications)}
    times = collections.Counter(id(each.layer) for each in applications)

    def only_reader(tensor: int) -> Application | None:
        found = readers.get(tensor, [])
        return found[0] if len(found) == 1 and tensor not in shown else None

    blocks: dict[int, FoldableBlock] = {}
    for each in applications:
        dense: Any = each.layer
        if not _is_square(dense) or times[id(dense)] > 1:
            continue
        layers, last = [dense], each
        activation = from_keras(dense.activation)
        after = only_reader(last.returns[0])
        linear = dense.activation in (None, keras.activations.linear)
        if activation is None and linear and after is not None:
            activation = from_keras(after.layer)
            layers, last = [dense, after.layer], after
            after = only_reader(last.returns[0])
        if activation is None:
            continue
        start = each.reads[0]
        pair = sorted((start, last.returns[0]))
        residual = False
        if after is not None and type(after.layer) is keras.layers.Add:
            residual = sorted(after.reads) == pair
            if residual:
                layers, last = [*layers, after.layer], after
        if start in blocks:  # two that start there are no chain
            continue
        calls = place[id(each)], place[id(last)]
        blocks[start] = FoldableBlock(
            start, last.returns[0], calls, tuple(layers), activation, residual
        )
    return blocks


def _is_square(layer: Any) -> bool:
    """Return a Dense layer as wide as its inputs, and nothing more."""
    if type(layer) is not keras.layers.Dense or not layer.built:
        return False
    more = (
        layer.kernel_regularizer,
        layer.bias_regularizer,
        layer.activity_regularizer,
        layer.kernel_constraint,
        layer.bias_constraint,
        layer.lora_enabled,
        layer.quantization_mode,
    )
    return not any(more) and tuple(layer.kernel.shape) == (layer.units, layer.units)
