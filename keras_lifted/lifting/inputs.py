"""The inputs that reach the kernels of a model during a sweep."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import keras
from keras import ops

from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.blocks import walk_layers

Tensor = Any

# Rows of inputs that are kept of a batch: patches of an image are many.
ROWS = 2048

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D)


@dataclasses.dataclass(frozen=True)
class Affine:
    """A layer `z = a W + b` whose kernel is read as a matrix.

    Attributes:
        layer: a Dense layer, or a convolution, whose rows `a` are patches.
        kernel: its trainable kernel.
        bias: its trainable bias, or None.
        inputs: rows `n` of the kernel as a matrix.
        outputs: columns `m`.
    """

    layer: keras.layers.Layer
    kernel: keras.Variable
    bias: keras.Variable | None
    inputs: int
    outputs: int

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def plain(self) -> bool:
        """Whether its kernel's gradient is `Σ a δᵀ` over the calls, no more."""
        layer = self.layer
        return type(layer) is keras.layers.Dense and not (
            layer.kernel_regularizer or layer.bias_regularizer
        )

    def displaced(self, x: Tensor, slot: Tensor) -> Tensor:
        """The call of a plain layer; the gradient in `slot` is `δ`, that in `z`."""
        z = ops.matmul(x, self.layer.kernel)
        if self.layer.bias is not None:
            z = ops.add(z, self.layer.bias)
        z = _tap(z, slot)
        activation = self.layer.activation
        return z if activation is None else activation(z)

    def rows(self, x: Tensor) -> Tensor:
        """Inputs of the kernel as a matrix, `(rows, n)`, at most about `ROWS`."""
        x = lifted_real(ops.stop_gradient(x))
        sites = 1
        for size in x.shape[1:-1]:
            sites *= size or 1
        if sites > 1:
            x = x[: max(1, ROWS // sites)]
        if isinstance(self.layer, _CONVOLUTIONS):
            x = _patches(self.layer, x)
        rows = ops.reshape(x, (-1, self.inputs))
        return rows[:ROWS]


def find_affine(model: keras.Model) -> list[Affine]:
    """Every Dense, Conv1D and Conv2D layer of `model` with a trainable kernel.

    Not those inside a recurrent loop, with groups, with channels first, or
    adapted by LoRA or quantised: their kernels are no single matrix.
    """
    trainable = {id(v) for v in model.trainable_variables}
    found: dict[int, Affine] = {}
    for layer, loop in walk_layers(model):
        if loop is not None or not isinstance(
            layer, (keras.layers.Dense, *_CONVOLUTIONS)
        ):
            continue
        if getattr(layer, "groups", 1) != 1 or not layer.built:
            continue
        if getattr(layer, "data_format", None) == "channels_first":
            continue
        kernel, bias = layer.kernel, layer.bias
        if not isinstance(kernel, keras.Variable) or id(kernel) not in trainable:
            continue
        if bias is not None and id(bias) not in trainable:
            bias = None
        outputs = kernel.shape[-1]
        size = 1
        for side in kernel.shape[:-1]:
            size *= side
        found.setdefault(id(kernel), Affine(layer, kernel, bias, size, outputs))
    return list(found.values())


class InputScope:
    """Context that keeps the inputs of `affine` layers while they are called.

    Args:
        affine: the layers.
        slots: zeros, by index, of the layers whose displacements are wanted:
            the gradients in them are the displacements `δ`.
    """

    def __init__(
        self, affine: Sequence[Affine], slots: dict[str, Tensor] | None = None
    ) -> None:
        self.affine = affine
        self.slots = slots or {}
        self.rows: dict[str, list[Tensor]] = {}
        self.shapes: dict[str, list[tuple[int, ...]]] = {}
        self.owners: dict[str, int] = {}

    def __enter__(self) -> InputScope:
        self.rows.clear()
        self.shapes.clear()
        self.owners.clear()
        for index, each in enumerate(self.affine):
            each.layer.call = self._keeping(str(index), each, each.layer.call)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self.affine:
            delattr(each.layer, "call")

    def _keeping(self, index: str, affine: Affine, call: Any) -> Any:
        def keeping(inputs: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
            self.shapes.setdefault(index, []).append(tuple(inputs.shape))
            kept = self.rows.setdefault(index, [])
            if index in self.slots:
                kept.append(lifted_real(ops.stop_gradient(inputs)))
                return affine.displaced(inputs, self.slots[index])
            kept.append(affine.rows(inputs))
            return call(inputs, *arguments, **keywords)

        return keeping

    def activated(self, block: int) -> None:
        """A block's activation was called: it owns the layers met since the last."""
        for index in self.rows:
            self.owners.setdefault(index, block)

    def joined(self) -> dict[str, Tensor]:
        """`{index of the layer: (rows, n)}`, the calls of a shared layer together."""
        return {
            index: rows[0] if len(rows) == 1 else ops.concatenate(rows, axis=0)
            for index, rows in self.rows.items()
        }

    def plain(self) -> dict[str, tuple[int, int]]:
        """`{index: shape of z}` of the plain layers called once, on a matrix.

        1 stands for a number of rows that is not known.
        """
        return {
            index: (shapes[0][0] or 1, self.affine[int(index)].outputs)
            for index, shapes in self.shapes.items()
            if self.affine[int(index)].plain
            and len(shapes) == 1
            and len(shapes[0]) == 2
        }


def _tap(z: Tensor, slot: Tensor) -> Tensor:
    """`z`; the gradient in it is shown as the gradient in `slot`."""

    def function(z: Tensor, slot: Tensor) -> Any:
        def backward(*upstream: Tensor) -> tuple[Tensor, Tensor]:
            return upstream[0], lifted_real(upstream[0])

        return z, backward

    return ops.custom_gradient(function)(z, slot)


def _patches(layer: Any, x: Tensor) -> Tensor:
    """Patches in the order of the kernel's rows."""
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
    return ops.image.extract_patches(
        x, size, strides=strides, dilation_rate=dilation, padding=padding
    )
