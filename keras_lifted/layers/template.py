"""One block that stands for many: it computes with weights that it is given."""

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lifted.backend import batched
from keras_lifted.backend.workarounds import initializer_of
from keras_lifted.layers.base import ProximalActivation
from keras_lifted.layers.mapping import from_keras
from keras_lifted.layers.rectifiers import Identity

Tensor = Any

# Where the paths of the copy's variables begin.
SCOPE = "block"


class Template:
    """A copy of a block, which a `Stack` holds where Keras does not look for layers.

    Attributes:
        layer: the copy, without the activation that it ends in, if that can be lifted.
        activation: that activation, or the identity.
        variables: all variables of the copy.
        paths: of the variables, from the block on.
        kinds: "trainable", "state" or "seed" for each of them.
        output_shape: of the block.
    """

    def __init__(self, block: keras.layers.Layer, shape: Any, dtype: str) -> None:
        # Layouts of the stack's variables, which go by paths, are none of the copy's.
        with keras.StatelessScope(), keras.name_scope(SCOPE, override_parent=""):
            self.layer = built_copy(block, shape, dtype, block.name)
            self.layer.supports_masking = True  # the stack gives each block the mask
            self.output_shape = tuple(self.layer(_symbol(shape, dtype)).shape)
            self.variables = list(self.layer.variables)
            self._initializers = [initializer_of(v) for v in self.variables]
        self.paths = [v.path.removeprefix(f"{SCOPE}/") for v in self.variables]
        self.activation = _without_activation(self.layer)
        weights = {id(v) for v in self.layer.weights}
        self.kinds = [
            "seed" if id(v) not in weights else "trainable" if v.trainable else "state"
            for v in self.variables
        ]

    def initial(self, index: int) -> list[Tensor]:
        """Return initial values of the block `index`, as if it were made by itself.

        An initializer may read the variables that come before its own.
        """
        known: list[tuple[Any, Tensor]] = []
        for variable, start in zip(self.variables, self._initializers, strict=True):
            with keras.StatelessScope(known, initialize_variables=False):
                own = of_block(start, index)
                value = own(variable.shape, dtype=variable.dtype)
            known.append((variable, value))
        for i, kind in enumerate(self.kinds):
            if kind == "seed":
                seed = np.asarray(ops.convert_to_numpy(known[i][1]))
                seed = np.array([mixed(int(seed[0]), index), *seed[1:]])
                dtype = self.variables[i].dtype
                known[i] = self.variables[i], ops.convert_to_tensor(seed, dtype)
        return [value for _, value in known]

    def call(
        self, u: Tensor, values: Iterable[tuple[Any, Tensor]], **keywords: Any
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return its output at these values of variables, new values, and losses."""
        with keras.StatelessScope(values, collect_losses=True) as scope:
            output = self.layer(u, **keywords)
        new = [scope.get_current_value(v) for v in self.variables]
        return output, new, list(scope.losses)


def built_copy(
    block: keras.layers.Layer, shape: Any, dtype: str, name: str
) -> keras.layers.Layer:
    """Return a layer like `block` with that name and weights of its own."""
    if isinstance(block, keras.Sequential) or getattr(block, "inputs", None):
        layer = keras.models.clone_model(block)
        layer.name = name
    else:
        layer = type(block).from_config({**block.get_config(), "name": name})
    layer(_symbol(shape, dtype))
    return layer


def of_block(initializer: Any, index: int) -> Any:
    """Return the initializer; where its seed is a number, with one of its own."""
    seed = getattr(initializer, "seed", None)
    if not isinstance(seed, int):
        return initializer
    each = copy.copy(initializer)
    each.seed = mixed(seed, index)
    return each


def mixed(seed: int, index: int) -> int:
    """Return a seed for the block `index`."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0]) % 2**31


def _symbol(shape: Sequence[int | None], dtype: str) -> keras.KerasTensor:
    return keras.KerasTensor(tuple(shape), dtype)


def _without_activation(layer: Any) -> ProximalActivation:
    """Take the activation off that `layer` ends in, if it can be lifted there."""
    last = _last(layer)
    if last is None:
        return Identity()
    fused = vars(last).get("activation")
    activation = from_keras(last if fused is None else fused)
    if activation is None or activation.weights:
        return Identity()
    if layer.activity_regularizer or last.activity_regularizer:
        return Identity()
    if getattr(activation, "axis", -1) not in (-1, (-1,)):
        return Identity()
    if fused is not None:
        last.activation = keras.activations.linear
    else:
        last.call = lambda inputs: inputs
    return activation


def _last(layer: Any) -> Any:
    """Return the layer whose output is that of `layer`, if it is called only there."""
    if isinstance(layer, keras.Sequential):
        found = layer.layers[-1]
        return None if layer.layers.count(found) > 1 else _last(found)
    if not getattr(layer, "inputs", None):
        return layer
    config = layer.get_config()
    name = np.ravel(np.array(config["output_layers"], dtype=object))[0]
    nodes = [each for each in config["layers"] if each["name"] == name][0]
    if len(nodes["inbound_nodes"]) > 1:
        return None
    return _last(layer.get_layer(name))


class RegularizerOfEach(keras.regularizers.Regularizer):
    """The sum of a regularizer over the blocks."""

    def __init__(self, each: Callable[[Tensor], Tensor]) -> None:
        self.each = each

    def __call__(self, value: Tensor) -> Tensor:
        return ops.sum(batched(self.each, (ops.convert_to_tensor(value),)))


class ConstraintOfEach(keras.constraints.Constraint):
    """A constraint on every block."""

    def __init__(self, each: Callable[[Tensor], Tensor]) -> None:
        self.each = each

    def __call__(self, value: Tensor) -> Tensor:
        return batched(self.each, (ops.convert_to_tensor(value),))
