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
from keras_lifted.lifting.contraction import Contraction
from keras_lifted.lifting.contraction import contraction_of

Tensor = Any

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


@dataclasses.dataclass(frozen=True)
class Affine:
    """A layer `z = a W + b` whose kernel is read as a matrix.

    Attributes:
        layer: layer. Dense, EinsumDense or a convolution, whose rows are patches.
        kernel: Variable. Its trainable kernel.
        bias: Variable. Its trainable bias, or None.
        inputs: int. The rows `n` of the kernel as a matrix.
        contraction: Contraction. Of an EinsumDense layer, its rows' axes.
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
        if getattr(layer, "groups", 1) != 1:
            continue
        if getattr(layer, "data_format", None) == "channels_first":
            continue
        kernel, bias = layer.kernel, layer.bias
        if not isinstance(kernel, keras.Variable) or id(kernel) not in trainable:
            continue
        contraction = None
        if isinstance(layer, keras.layers.EinsumDense):
            contraction = contraction_of(layer.equation)
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
