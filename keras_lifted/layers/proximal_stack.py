"""Equal Dense blocks in a row, with one kernel for all of them."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.checks import check_count, flag
from keras_lifted.layers.base import ProximalActivation, open_scope
from keras_lifted.layers.chain import Chain, Tensors
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.mapping import get
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.template import of_block


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ProximalStack(Saved, keras.layers.Layer):
    """`depth` equal blocks `x_{l+1} = σ(x_l W_l + b_l)`, computed in a loop.

    With `residual=True` a skip goes around each block, outside the activation:
    `x_{l+1} = x_l + σ(x_l W_l + b_l)`. The kernel `(depth, units, units)` and the bias
    `(depth, units)` are one variable each, and compile time does not grow with depth.

    Args:
        units: int. The width of every block, and of the inputs.
        depth: int. The number of blocks.
        activation: activation. What `keras_lifted.layers.get` takes. All blocks share
            it, with its learnable parameters if it has any. Defaults to "relu".
        residual: bool. Whether a skip goes around each block. Defaults to False.
        use_bias: bool. Whether there are `b_l`. Defaults to True.
        kernel_initializer: initializer. That of each `W_l`, independent and with the
            fans of a `(units, units)` matrix. Defaults to "glorot_uniform".
        bias_initializer: initializer. That of each `b_l`. Defaults to "zeros".
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, ..., units)`. The outputs have the same shape.

    Raises:
        ValueError: If `units` or `depth` is not a positive integer, `activation` is not
            a proximal map or couples other axes than the last, `residual` or `use_bias`
            is not a bool, or the last axis of the inputs is not `units`.

    Source: Wang & Benning, JMLR 24(232), 2023, eq. (1), with equal widths.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> stack = kl.layers.ProximalStack(2, 3, "relu", kernel_initializer="identity")
    >>> np.array(stack(np.array([[1.0, -1.0]]))).tolist()
    [[1.0, 0.0]]
    >>> tuple(stack.kernel.shape)
    (3, 2, 2)
    """

    def __init__(
        self,
        units: int,
        depth: int,
        activation: Any = "relu",
        residual: bool = False,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_count("units", units, "the width of every block")
        self.depth = check_count("depth", depth, "blocks in a row")
        self.activation = _of_units(get(activation))
        self.residual = flag("ProximalStack", "residual", residual)
        self.use_bias = flag("ProximalStack", "use_bias", use_bias)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if len(input_shape) < 2 or input_shape[-1] != self.units:
            raise ValueError(
                f"'{self.name}' joins blocks of one width, its inputs among them: "
                f"expected inputs (batch, ..., {self.units}). Received: "
                f"input_shape={tuple(input_shape)}. Put a Dense({self.units}) layer "
                "before it, or change `units`."
            )
        shape = (self.depth, self.units, self.units)
        self.kernel = self.add_weight(
            name="stacked_kernel",
            shape=shape,
            initializer=_Each(self.kernel_initializer),
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=shape[:2],
                initializer=_Each(self.bias_initializer),
            )
        if not self.activation.built:
            self.activation.build(input_shape)

    def call(self, inputs: Tensor) -> Tensor:
        given = [self.kernel] if self.bias is None else [self.kernel, self.bias]
        weights = tuple(ops.convert_to_tensor(each) for each in given)
        chain = Chain(_affine, _affines, weights, self.residual)

        def ordinary(u: Tensor) -> Tensor:
            return chain.run(u, ProximalMap.of(self.activation))

        scope = open_scope.get()
        if scope is None:
            return ordinary(inputs)
        return scope.ask(self, inputs, ordinary, chain)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _of_units(activation: ProximalActivation) -> ProximalActivation:
    """Return the activation, if it couples no more than the units of one block."""
    axis = getattr(activation, "axis", -1)
    if axis == -1 or axis == (-1,):
        return activation
    raise ValueError(
        "The activation of a ProximalStack acts on the units of each block by itself: "
        "expected axis=-1. Received: "
        f"{type(activation).__name__}(axis={axis}). Use Dense layers, each followed "
        "by this activation."
    )


def _affine(u: Tensor, weights: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
    z = ops.matmul(u, weights[0])
    return (z if len(weights) == 1 else z + weights[1]), ()


def _affines(u: Tensor, weights: Tensors, state: Tensors) -> tuple[Tensor, Tensors]:
    """Compute `x W + b` of all blocks, by one product of matrices."""
    depth, units = weights[0].shape[:2]
    z = ops.matmul(ops.reshape(u, (depth, -1, units)), weights[0])
    if len(weights) > 1:
        z = z + ops.expand_dims(weights[1], 1)
    return ops.reshape(z, ops.shape(u)), ()


class _Each:
    """Initialises every slice of the first axis by itself."""

    def __init__(self, initializer: Any) -> None:
        self.initializer = initializer

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        each = (of_block(self.initializer, i) for i in range(shape[0]))
        return ops.stack([initial(shape[1:], dtype=dtype) for initial in each])
