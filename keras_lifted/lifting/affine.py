"""Layers that multiply rows by a kernel, and these rows."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.blocks import walk_layers

Tensor = Any

_ELLIPSIS = "..."
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclasses.dataclass(frozen=True)
class Affine:
    """A layer `z = a W + b`, its trainable kernel a matrix of `inputs` rows.

    It is Dense, EinsumDense, or a convolution, whose rows are patches. `axes` are those
    of its input that lie along the rows of the kernel, in their order.
    """

    layer: keras.layers.Layer
    kernel: keras.Variable
    bias: keras.Variable | None
    inputs: int
    axes: tuple[int, ...]

    def gram(self, x: Tensor) -> Tensor:
        """Return `AᵀA` of the rows `A`, those of a bias with one more entry of 1."""
        rows = lifted_real(ops.stop_gradient(x))
        if isinstance(self.layer, _CONVOLUTIONS):
            rows = _patches(self.layer, rows)
        elif self.axes != (-1,):
            rows = ops.moveaxis(rows, self.axes, tuple(range(-len(self.axes), 0)))
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
        axes: tuple[int, ...] = (-1,)
        columns, biased = 1, True
        if isinstance(layer, keras.layers.EinsumDense):
            axes, columns, biased = _einsum_of(layer)
            if not axes:
                continue
        if bias is not None and not (biased and id(bias) in trainable):
            bias = None
        inputs = math.prod(kernel.shape[:-columns])
        found.setdefault(id(kernel), Affine(layer, kernel, bias, inputs, axes))
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


def _einsum_of(layer: Any) -> tuple[tuple[int, ...], int, bool]:
    """Return how its equation, as `"abc,cde->abde"`, multiplies rows by a matrix.

    That is the input's axes along the rows, none if it does more, the number of the
    kernel's axes along the columns, and whether the bias has an entry a column.
    """
    left, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel, outputs = (_labels(part) for part in (*left.split(","), output))
    rows = [label for label in kernel if label in inputs]
    columns = [label for label in kernel if label not in inputs]
    matrix = (
        kernel == [*rows, *columns]
        and sorted(rows) == sorted(label for label in inputs if label not in outputs)
        and set(columns) <= set(outputs)
        and len(rows) > 0 < len(columns)
        and inputs[0] not in rows
    )
    if not matrix:
        return (), 0, False
    elided = inputs.index(_ELLIPSIS) if _ELLIPSIS in inputs else len(inputs)
    places = [inputs.index(label) for label in rows]
    axes = tuple(at if at < elided else at - len(inputs) for at in places)
    along = [label for label in outputs if label in (layer.bias_axes or "")]
    return axes, len(columns), along == columns


def _labels(term: str) -> list[str]:
    before, ellipsis, after = term.partition(_ELLIPSIS)
    return [*before, *([ellipsis] if ellipsis else []), *after]
