"""Folds equal blocks of an existing model into stacks."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_lifted.checks import check_count
from keras_lifted.layers.proximal_stack import ProximalStack
from keras_lifted.layers.stack import Stack
from keras_lifted.models.repeats import Application, ModelGraph, Repeat, share_weights

Tensor = Any


def stack(model: keras.Model, least: int = 2) -> keras.Model:
    """Fold each run of equal blocks of `model` into one layer.

    Layers that repeat, alone or in groups, become a `Stack`, `residual` where a block
    only adds to its input. A Dense layer with a proximal activation, fused or as a
    layer of its own, `σ(x W + b)`, or such a block with a skip around it,
    `x + σ(x W + b)`, becomes a `ProximalStack`. The new
    model has the same outputs. Folded weights are copied, all other layers are shared
    with `model`, as by `LiftedModel(m.inputs, m.outputs)`; compile it before training.

    Args:
        model: functional model or Sequential. It is built.
        least: int. The fewest blocks that are folded, at least 2. Defaults to 2.

    Returns:
        A model of the same class.

    Raises:
        ValueError: If it is not such a model, or has no run of so many equal blocks.

    Example:

    >>> import keras, keras_lifted as kl
    >>> dense = [keras.layers.Dense(8, "relu") for _ in range(20)]
    >>> model = keras.Sequential([keras.Input((8,)), *dense, keras.layers.Dense(1)])
    >>> [type(layer).__name__ for layer in kl.stack(model).layers]
    ['ProximalStack', 'Dense']
    """
    if check_count("least", least, "blocks that are folded") < 2:
        raise ValueError(
            "`least` must be at least 2: one block alone stays as it is. "
            f"Received: least={least}"
        )
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(
            "`stack` folds the graph of a built functional or Sequential model. "
            f"Received: {model!r}. Fold the functional part of a subclassed model, "
            "or call a Sequential model on data first."
        )
    runs = _graph(model).runs(least)
    if not runs:
        raise ValueError(
            f"The model '{model.name}' has no run of at least {least} equal blocks. "
            "Expected layers in a row, or groups of them, that have weights and the "
            "same arguments and keep the shape of their inputs, nothing else reading "
            "what is between them. Received: "
            f"{str([type(layer).__name__ for layer in model.layers]):.200}."
        )
    stacks, copies = zip(*(_stack_of(run) for run in runs), strict=True)
    graph = _replaced(model, runs, stacks)
    if isinstance(model, keras.Sequential):
        shape, dtype = model.input_shape, model.inputs[0].dtype
        layers = [keras.Input(batch_shape=shape, dtype=dtype), *graph.layers[1:]]
        folded = type(model)(layers, name=model.name)
    else:
        as_given = keras.tree.pack_sequence_as
        inputs = as_given(model.input, graph.inputs)
        outputs = as_given(model.output, keras.tree.flatten(graph.outputs))
        folded = type(model)(inputs, outputs, name=model.name)
    for copy in copies:
        copy()
    return folded


def _graph(model: keras.Model) -> ModelGraph:
    """Return each call of a layer in the graph of `model`."""
    found: list[Application] = []

    def record(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        result = layer(*arguments, **keywords)
        found.append(Application(layer, (arguments, keywords), result))
        return result

    return ModelGraph(found, _rebuilt(model, record).outputs)


def _rebuilt(model: keras.Model, call: Any) -> keras.Model:
    keras_model = keras.Model(model.inputs, model.outputs)
    return keras.models.clone_model(
        keras_model, clone_function=lambda layer: layer, call_function=call
    )


def _stack_of(run: Sequence[Repeat]) -> tuple[Any, Callable[[], None]]:
    """Return a stack for the run, and what copies the weights once it is built."""
    activation = run[0].activation_of_dense
    if activation is None or (activation.weights and not share_weights(run)):
        blocks = [each.as_layer() for each in run]
        stack = Stack(blocks[0], len(run), residual=bool(run[0].branches))
        return stack, lambda: stack.set_blocks(blocks)
    dense: list[Any] = [each.layers[0] for each in run]
    first = dense[0]
    layer = ProximalStack(
        first.units,
        len(run),
        activation,
        residual=bool(run[0].branches),
        use_bias=first.use_bias,
        dtype=first.dtype_policy,
        trainable=first.trainable,
    )

    def copy() -> None:
        layer.kernel.assign(np.stack([np.array(each.kernel) for each in dense]))
        if layer.bias is not None:
            layer.bias.assign(np.stack([np.array(each.bias) for each in dense]))

    return layer, copy


def _replaced(
    model: keras.Model, runs: Sequence[Sequence[Repeat]], stacks: Sequence[Any]
) -> keras.Model:
    """Return the graph with the stacks in it."""
    begins = {run[0].place for run in runs}
    ends = {
        run[-1].place + len(run[-1].applications) - 1: stack
        for run, stack in zip(runs, stacks, strict=True)
    }
    start: Tensor = None
    place = itertools.count()

    def call(layer: Any, *arguments: Any, **keywords: Any) -> Any:
        # What is between the ends of a run is called too, and nothing reads it.
        nonlocal start
        at = next(place)
        if at in begins:
            (start,) = set(Application(layer, (arguments, keywords), None).reads)
        if at in ends:
            return ends[at](start)
        return layer(*arguments, **keywords)

    return _rebuilt(model, call)
