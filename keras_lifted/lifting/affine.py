"""Layers whose kernels are read as matrices, and the rows that these multiply."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from keras_lifted.layers.precision import lifted_real
from keras_lifted.lifting.blocks import walk_layers
from keras_lifted.lifting.contraction import Contraction
from keras_lifted.lifting.contraction import contraction_of

Tensor = Any

# Rows of inputs that are kept of a batch: patches of an image are many.
ROWS = 2048

_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
_AFFINE = (keras.layers.Dense, keras.layers.EinsumDense, *_CONVOLUTIONS)


@dataclasses.dataclass(frozen=True)
class Affine:
    """A layer `z = a W + b` whose kernel is read as a matrix.

    Attributes:
        layer: a Dense or EinsumDense layer, or a convolution, whose rows `a` are
            patches.
        kernel: its trainable kernel.
        bias: its trainable bias, or None.
        inputs: rows `n` of the kernel as a matrix.
        outputs: columns `m`.
        contraction: of an EinsumDense layer, which of its axes are rows.
    """

    layer: keras.layers.Layer
    kernel: keras.Variable
    bias: keras.Variable | None
    inputs: int
    outputs: int
    contraction: Contraction | None = None

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
        """The call of a plain layer, of whose output `slot` shows the gradient, `δ`.

        Kernel and bias get none from it, which is `aᵀ δ` and `Σ δ`.
        """
        z = ops.matmul(x, ops.stop_gradient(self.layer.kernel))
        if self.layer.bias is not None:
            z = ops.add(z, ops.stop_gradient(self.layer.bias))
        z = _tap(z, slot)
        activation = self.layer.activation
        return z if activation is None else activation(z)

    def rows(self, x: Tensor) -> Tensor:
        """Inputs of the kernel as a matrix, `(rows, n)`, at most about `ROWS`."""
        x = lifted_real(ops.stop_gradient(x))
        if self.contraction is not None:
            x = self.contraction.rows_last(x)
        sites = math.prod(size or 1 for size in x.shape[1:-1])
        if sites > 1:
            x = x[: max(1, ROWS // sites)]
        if isinstance(self.layer, _CONVOLUTIONS):
            x = _patches(self.layer, x)
        rows = ops.reshape(x, (-1, self.inputs))
        return rows[:ROWS]


@dataclasses.dataclass(frozen=True)
class Matrices:
    """A kernel that is read as one matrix or as several, whatever its layer does.

    Attributes:
        name: of the layer.
        kernel: its trainable kernel.
        bias: its trainable bias, one number for each column, or None.
        shape: of the kernel, `(n, m)` or `(depth, n, m)`.
        added: whether the outputs of several add up, as branches of a residual stack.
    """

    name: str
    kernel: keras.Variable
    bias: keras.Variable | None
    shape: tuple[int, ...]
    added: bool = False

    @property
    def count(self) -> int:
        """How many matrices these are."""
        return math.prod(self.shape[:-2])


def find_affine(model: keras.Model) -> list[Affine]:
    """Every Dense, EinsumDense and convolution layer with a trainable kernel.

    Not those inside a recurrent loop, with groups, with channels first, or
    adapted by LoRA or quantised: their kernels are no single matrix. Of
    EinsumDense, those of `contraction_of`; attention has such.
    """
    trainable = {id(v) for v in model.trainable_variables}
    found: dict[int, Affine] = {}
    for layer, loop in walk_layers(model, whole=False):
        if loop is not None or not layer.built or not isinstance(layer, _AFFINE):
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
        inputs = math.prod(kernel.shape[:-columns])
        outputs = math.prod(kernel.shape[-columns:])
        if bias is not None and (
            id(bias) not in trainable
            or (contraction and not contraction.one_bias_each(layer.bias_axes))
        ):
            bias = None
        found.setdefault(
            id(kernel), Affine(layer, kernel, bias, inputs, outputs, contraction)
        )
    return list(found.values())


def find_matrices(model: keras.Model) -> list[Matrices]:
    """Other layers with a trainable kernel that say how it is read as matrices.

    They have an attribute `matrix_kernel`. True: the kernel's last axis are the
    columns of one matrix, all others its rows. "stacked": the same of each slice of
    the kernel along its first axis. "added": such slices, whose outputs add up.
    """
    trainable = {id(v) for v in model.trainable_variables}
    found: dict[int, Matrices] = {}
    for layer, loop in walk_layers(model, whole=False):
        how = getattr(layer, "matrix_kernel", False)
        if not how or isinstance(layer, _AFFINE) or loop is not None or not layer.built:
            continue
        kernel, bias = layer.kernel, getattr(layer, "bias", None)
        if id(kernel) not in trainable:
            continue
        stack = tuple(kernel.shape[: how in ("stacked", "added")])
        *rows, columns = kernel.shape[len(stack) :]
        if bias is not None and (
            id(bias) not in trainable or tuple(bias.shape) != (*stack, columns)
        ):
            bias = None
        shape = (*stack, math.prod(rows), columns)
        new = Matrices(str(layer.name), kernel, bias, shape, how == "added")
        found.setdefault(id(kernel), new)
    return list(found.values())


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
    extract = ops.image.extract_patches
    if isinstance(layer, keras.layers.Conv3D):
        extract = ops.image.extract_patches_3d
    return extract(x, size, strides=strides, dilation_rate=dilation, padding=padding)
