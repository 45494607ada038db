"""Layers that multiply rows by a kernel, and these rows."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.blocks import walk_layers

Tensor = Any

_ELLIPSIS = "..."
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclasses.dataclass(frozen=True)
class Contraction:
    """An equation such as `"abc,cde->abde"`: rows `c` times a matrix `c × (d e)`.

    `inputs` and `outputs` label their axes; the kernel's first axes, those of the rows,
    are `contracted`, its last axes, those of the columns, `produced`.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    contracted: tuple[str, ...]
    produced: tuple[str, ...]

    def rows_last(self, x: Tensor) -> Tensor:
        """Return `x` with its contracted axes behind the others, as one axis."""
        labels = list(self.inputs)
        if _ELLIPSIS in labels:
            at, missing = labels.index(_ELLIPSIS), len(x.shape) - len(labels) + 1
            labels[at : at + 1] = [f"{_ELLIPSIS}{i}" for i in range(missing)]
        others = [i for i, label in enumerate(labels) if label not in self.contracted]
        rows = [labels.index(label) for label in self.contracted]
        x = ops.transpose(x, (*others, *rows))
        size = math.prod(x.shape[len(others) :])
        return ops.reshape(x, (-1, *x.shape[1 : len(others)], size))

    def one_bias_each(self, axes: str | None) -> bool:
        """Return whether a bias along the output's `axes` has an entry a column."""
        along = tuple(label for label in self.outputs if label in (axes or ""))
        return along == self.produced


@dataclasses.dataclass(frozen=True)
class Affine:
    """A layer `z = a W + b`, its trainable kernel a matrix of `inputs` rows.

    It is Dense, EinsumDense, or a convolution, whose rows are patches.
    """

    layer: keras.layers.Layer
    kernel: keras.Variable
    bias: keras.Variable | None
    inputs: int
    contraction: Contraction | None = None

    def gram(self, x: Tensor) -> Tensor:
        """Return `AᵀA` of the rows `A`, those of a bias with one more entry of 1."""
        rows = lifted_real(ops.stop_gradient(x))
        if self.contraction is not None:
            rows = self.contraction.rows_last(rows)
        elif isinstance(self.layer, _CONVOLUTIONS):
            rows = _patches(self.layer, rows)
        rows = ops.reshape(rows, (-1, self.inputs))
        if self.bias is not None:
            rows = ops.concatenate([rows, ops.ones_like(rows[:, :1])], axis=1)
        return ops.matmul(ops.transpose(rows), rows)


def find_affine(model: keras.Model) -> list[Affine]:
    """Return every Dense, EinsumDense and convolution layer with a trainable kernel.

    Not those inside a recurrent loop, with groups, with channels first, or adapted by
    LoRA or quantised: their kernels are not a single matrix.
    """
    trainable = {id(v) for v in model.trainable_variables}
    found: dict[int, Affine] = {}
    for layer, loop in walk_layers(model, whole=False):
        kinds = (keras.layers.Dense, keras.layers.EinsumDense, *_CONVOLUTIONS)
        if loop is not None or not layer.built or not isinstance(layer, kinds):
            continue
        channels_first = getattr(layer, "data_format", None) == "channels_first"
        if channels_first or getattr(layer, "groups", 1) != 1:
            continue
        kernel, bias = layer.kernel, layer.bias
        if not isinstance(kernel, keras.Variable) or id(kernel) not in trainable:
            continue
        contraction = None
        if isinstance(layer, keras.layers.EinsumDense):
            contraction = _contraction_of(layer.equation)
            if contraction is None:
                continue
        columns = 1 if contraction is None else len(contraction.produced)
        if bias is not None and (
            id(bias) not in trainable
            or (contraction and not contraction.one_bias_each(layer.bias_axes))
        ):
            bias = None
        inputs = math.prod(kernel.shape[:-columns])
        each = Affine(layer, kernel, bias, inputs, contraction)
        found.setdefault(id(kernel), each)
    return list(found.values())


@contextlib.contextmanager
def grams(layers: Sequence[Affine]) -> Iterator[list[Tensor]]:
    """Collect `AᵀA` of every layer while the model is called in this context."""
    found: list[Tensor] = [None] * len(layers)

    def watched(i: int, affine: Affine, call: Any) -> Any:
        def watching(inputs: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
            new = affine.gram(inputs)
            found[i] = new if found[i] is None else found[i] + new
            return call(inputs, *arguments, **keywords)

        return watching

    for i, affine in enumerate(layers):
        affine.layer.call = watched(i, affine, affine.layer.call)
    try:
        yield found
    finally:
        for affine in layers:
            del affine.layer.call


def _patches(layer: Any, x: Tensor) -> Tensor:
    """Return patches in the order of the kernel's rows."""
    size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    padding = layer.padding
    if isinstance(layer, keras.layers.Conv1D):
        if padding == "causal":
            x = ops.pad(x, ((0, 0), (dilation[0] * (size[0] - 1), 0), (0, 0)))
            padding = "valid"
        x = x[:, None]
        size, strides, dilation = (1, *size), (1, *strides), (1, *dilation)
    if max(dilation) > 1:
        strides = (1, 1)  # a stride and a dilation do not go together there
    extract = ops.image.extract_patches
    if isinstance(layer, keras.layers.Conv3D):
        extract = ops.image.extract_patches_3d
    return extract(x, size, strides=strides, dilation_rate=dilation, padding=padding)


def _contraction_of(equation: str) -> Contraction | None:
    """Return how `equation` multiplies rows by a matrix; None where it does more.

    The kernel's labels are those of the rows, which are not in the output, and
    then those of the columns, which are not in the input; its other axes would
    be a matrix each. The first axis of the input is that of the samples.
    """
    left, output = equation.replace(" ", "").split("->")
    inputs, kernel, outputs = (_labels(part) for part in (*left.split(","), output))
    contracted = tuple(label for label in inputs if label not in outputs)
    rows = tuple(label for label in kernel if label in inputs)
    produced = tuple(label for label in kernel if label not in inputs)
    matrix = (
        kernel == (*rows, *produced)
        and sorted(rows) == sorted(contracted)
        and set(produced) <= set(outputs)
        and len(rows) > 0 < len(produced)
        and inputs[0] not in contracted
    )
    return Contraction(inputs, outputs, rows, produced) if matrix else None


def _labels(term: str) -> tuple[str, ...]:
    before, ellipsis, after = term.partition(_ELLIPSIS)
    return (*before, *([ellipsis] if ellipsis else []), *after)
