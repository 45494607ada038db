"""Equal blocks of any kind in a row, computed in one loop."""

from __future__ import annotations

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any, final

import keras
import numpy as np
from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.backend import batched
from keras_lifted.checks import check_count, flag
from keras_lifted.layers.base import ProximalActivation, open_scope
from keras_lifted.layers.chain import Chain, Tensors
from keras_lifted.layers.map import ProximalMap
from keras_lifted.layers.precision import Tensor, real_dtype
from keras_lifted.layers.rectifiers import Identity
from keras_lifted.layers.template import (
    ConstraintOfEach,
    RegularizerOfEach,
    Template,
    built_copy,
)


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Stack(Saved, keras.layers.Layer):
    """`depth` copies of `block` in a row, `x_{l+1} = f(x_l; θ_l)`, in one loop.

    With `residual=True` a skip goes around each, `x_{l+1} = x_l + f(x_l; θ_l)`. Every
    variable of the block is one variable with a depth axis before its own, named
    `stacked_…`; each block starts as if it were made by itself, and has its own state
    and its own seeds. The compiled program holds one block whatever the depth: compile
    time does not grow with it, in a `keras.Model` too.

    Args:
        block: layer. Any layer, `Sequential`, functional or subclassed model whose
            output has the shape of its input. It is copied, without its weights, and
            so needs a `get_config`.
        depth: int. The number of copies.
        residual: bool. Whether a skip goes around each copy. Defaults to False.
        **kwargs: Arguments of `keras.layers.Layer`. `dtype` and `trainable` are by
            default the block's.

    Call arguments:
        inputs: what the block takes. The outputs have the same shape.
        training, mask: given to every block.

    Raises:
        ValueError: If `block` is not a layer, `depth` is not a positive integer,
            `residual` is not a bool, or the block changes the shape of its inputs.

    Source: `flax.linen.scan` with variables of each step, as a Keras layer.

    Example:

    >>> import keras, keras_lifted as kl
    >>> block = keras.Sequential([
    ...     keras.layers.Conv2D(4, 3, padding="same", use_bias=False),
    ...     keras.layers.BatchNormalization(),
    ...     keras.layers.ReLU(),
    ... ])
    >>> stack = kl.layers.Stack(block, depth=20, residual=True)
    >>> tuple(stack(keras.ops.ones((2, 8, 8, 4))).shape)
    (2, 8, 8, 4)
    >>> tuple(stack.weights[0].shape)
    (20, 3, 3, 4, 4)
    """

    def __init__(
        self, block: Any, depth: int, residual: bool = False, **kwargs: Any
    ) -> None:
        if not isinstance(block, keras.layers.Layer):
            raise ValueError(
                "A Stack repeats a Keras layer or model. Received: "
                f"block={block!r:.100}. For a function write a layer whose `call` "
                "takes it."
            )
        defaults = {"dtype": block.dtype_policy, "trainable": block.trainable}
        super().__init__(**{**defaults, **kwargs})
        # Not tracked as layers: the block as it was given and, once the stack is built,
        # the template, its copy that computes.
        self._hidden = types.SimpleNamespace(block=block, template=None)
        self.depth = check_count("depth", depth, "blocks in a row")
        self.residual = flag("Stack", "residual", residual)
        self.supports_masking = True

    @property
    def block(self) -> keras.layers.Layer:
        """The block as it was given."""
        return self._hidden.block

    @property
    def activation(self) -> ProximalActivation:
        """What each block ends in, if that can be lifted; else the identity."""
        template = self._hidden.template
        return Identity() if template is None else template.activation

    def build(self, input_shape: Any) -> None:
        template = Template(self.block, input_shape, self.compute_dtype)
        if not template.variables:
            raise ValueError(
                f"'{self.name}' repeats blocks with weights of their own. Received: "
                f"'{self.block.name}', which has none."
            )
        if template.output_shape[1:] != tuple(input_shape)[1:]:
            raise ValueError(
                f"'{self.name}' joins blocks whose outputs have the shape of their "
                f"inputs. Received: input_shape={tuple(input_shape)}, from which "
                f"'{self.block.name}' makes {template.output_shape}. Put a layer "
                "before it that changes the shape, or change the block."
            )
        self._hidden.template = template

        @functools.cache
        def initial() -> list[Tensor]:
            every = [template.initial(i) for i in range(self.depth)]
            return [ops.stack(each) for each in zip(*every, strict=True)]

        self._stacked = [
            self._variable(template, i, initial) for i in range(len(template.variables))
        ]
        self._shape = tuple(input_shape)

    def _variable(
        self, template: Template, i: int, initial: Callable[[], list[Tensor]]
    ) -> keras.Variable:
        variable = template.variables[i]
        *owners, name = template.paths[i].split("/")
        with contextlib.ExitStack() as scopes:
            for owner in owners:
                scopes.enter_context(keras.name_scope(owner))
            stacked = keras.Variable(
                lambda *_, **__: initial()[i],
                shape=(self.depth, *variable.shape),
                dtype=variable.dtype,
                trainable=template.kinds[i] == "trainable",
                autocast=False,
                aggregation=variable.aggregation,
                name=f"stacked_{name}",
            )
        if variable.regularizer is not None:
            stacked.regularizer = RegularizerOfEach(variable.regularizer)
        if variable.constraint is not None:
            stacked.constraint = ConstraintOfEach(variable.constraint)
        return stacked

    def call(self, inputs: Tensor, training: Any = None, mask: Any = None) -> Tensor:
        keywords = {"training": bool(training), "mask": mask}

        def ordinary(u: Tensor) -> Tensor:
            chain = self._chain(keywords, self.add_loss)
            return chain.run(u, ProximalMap.of(self.activation))

        scope = open_scope.get()
        if scope is None:
            return ordinary(inputs)
        return scope.ask(self, inputs, ordinary, self._chain(keywords, self._refuse))

    def _refuse(self, loss: Tensor) -> None:
        raise NotImplementedError(
            f"A block that adds losses is not lifted. Received: '{self.name}', whose "
            f"block '{self.block.name}' adds some. Train it by backpropagation, with "
            f"the penalty weight {{'{self.name}': float('inf')}}."
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def _chain(
        self, keywords: dict[str, Any], add_loss: Callable[[Tensor], None]
    ) -> Chain:
        template = self._hidden.template
        if keywords["mask"] is None:
            keywords = {"training": keywords["training"]}
        if template.layer.trainable != self.trainable:
            template.layer.trainable = self.trainable
        kinds = template.kinds
        order = sorted(range(len(kinds)), key=lambda i: kinds[i] != "trainable")
        count = kinds.count("trainable")
        variables = [template.variables[i] for i in order]
        values = tuple(ops.convert_to_tensor(self._stacked[i]) for i in order)
        added: list[bool] = []

        def block(u: Tensor, weights: Tensors, state: Tensors) -> tuple[Tensor, Any]:
            given = list(zip(variables, (*weights, *state), strict=True))
            z, new, found = template.call(u, given, **keywords)
            added.append(bool(found))
            total = sum((ops.cast(each, real_dtype()) for each in found), start=zero)
            return z, (total, *(new[i] for i in order[count:]))

        def blocks(*each: Any) -> tuple[Tensor, Tensors]:
            found: tuple[Tensor, Tensors] = batched(block, each)
            return found

        def keep(left: Tensors) -> None:
            for i, value in zip(order[count:], left[1:], strict=True):
                self._stacked[i].assign(value)
            if any(added):
                add_loss(ops.sum(left[0]))

        zero = ops.zeros((), real_dtype())
        left = (real_dtype(), *(v.dtype for v in variables[count:]))
        weights, state = values[:count], values[count:]
        return Chain(block, blocks, weights, self.residual, state, left, keep)

    # -- single blocks -----------------------------------------------------------

    def get_blocks(self) -> list[keras.layers.Layer]:
        """Return the blocks as single layers, with copies of weights and state."""
        stacked = [ops.convert_to_numpy(v) for v in self._stacked]
        blocks = []
        for i in range(self.depth):
            name = f"{self.block.name}_{i}"
            block = built_copy(self.block, self._shape, self.compute_dtype, name)
            for variable, values in zip(block.variables, stacked, strict=True):
                variable.assign(values[i])
            blocks.append(block)
        return blocks

    def set_blocks(self, blocks: list[keras.layers.Layer]) -> None:
        """Take the weights and the state of `depth` built layers like the block.

        Raises:
            ValueError: If there are not `depth` of them, or one is another layer.
        """
        shapes = [tuple(v.shape[1:]) for v in self._stacked]
        for block in blocks:
            if [tuple(v.shape) for v in block.variables] != shapes:
                raise ValueError(
                    f"'{self.name}' takes weights of layers like its block, whose "
                    f"variables have the shapes {shapes}. Received: '{block.name}' "
                    f"with {[tuple(v.shape) for v in block.variables]}."
                )
        if len(blocks) != self.depth:
            raise ValueError(
                f"'{self.name}' has {self.depth} blocks. Received: {len(blocks)}."
            )
        every = [block.variables for block in blocks]
        for variable, each in zip(self._stacked, zip(*every, strict=True), strict=True):
            variable.assign(np.stack([ops.convert_to_numpy(v) for v in each]))
