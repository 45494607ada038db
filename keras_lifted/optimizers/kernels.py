"""Which variables of a model are kernels, and how each is read as a matrix.

An optimizer sees variables, not layers. It goes by what Keras and its add-ons agree on:
the weight's name, its shape, and the bias beside it.
"""

import dataclasses
import math
import warnings
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lifted.geometries.layout import Layout

Tensor = Any

# Names of attention's projections, whose kernels of three axes read the first of them.
_PROJECTIONS = ("query", "key", "value")
# Names of the weights of normalisation.
_OF_NORMALISATION = ("gamma", "beta", "scale")
# The part of the weights that are not kernels above which the user is told.
TOLD = 0.2


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A variable that is read as matrices.

    Attributes:
        place: int. Its place among the trainable variables.
        bias: int. The place of its bias, or None.
        shape: tuple. `(count, sites, inputs, outputs)`; see `Layout`.
    """

    place: int
    bias: int | None
    shape: tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Group:
    """All kernels of one shape, which move together.

    Attributes:
        layout: Layout. Of all of them.
        kernels: tuple of Kernel.
    """

    layout: Layout
    kernels: tuple[Kernel, ...]

    @property
    def places(self) -> list[int]:
        """The places of kernels and biases among the trainable variables."""
        biases = [each.bias for each in self.kernels if each.bias is not None]
        return [*(each.place for each in self.kernels), *biases]

    def join(self, values: dict[int, Tensor], dtype: str) -> Tensor:
        """Return values of kernels and biases, by place, as one tensor; else zeros."""

        def joined(shapes: dict[int, tuple[int, ...]]) -> Tensor:
            parts = [
                ops.reshape(ops.cast(values[place], dtype), shape)
                if place in values
                else ops.zeros(shape, dtype)
                for place, shape in shapes.items()
            ]
            return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=0)

        kernels = joined({each.place: each.shape for each in self.kernels})
        biases = None
        if self.layout.biased:
            biases = joined(
                {
                    each.bias: (each.shape[0], each.shape[3])
                    for each in self.kernels
                    if each.bias is not None
                }
            )
        return self.layout.join(kernels, biases)

    def split(self, joined: Tensor) -> dict[int, Tensor]:
        """Return what lies in `joined` for each place, flat."""
        kernels, biases = self.layout.split(joined)
        found, at = {}, 0
        for each in self.kernels:
            end = at + each.shape[0]
            found[each.place] = ops.reshape(kernels[at:end], (-1,))
            if each.bias is not None and biases is not None:
                found[each.bias] = ops.reshape(biases[at:end], (-1,))
            at = end
        return found


def find_groups(variables: Sequence[keras.Variable]) -> list[Group]:
    """Return the kernels among `variables`, those of one shape together."""
    groups: dict[tuple[Any, ...], list[Kernel]] = {}
    for place, variable in enumerate(variables):
        kernel = _read(place, variable, variables)
        if kernel is not None:
            key = (*kernel.shape[1:], kernel.bias is not None)
            groups.setdefault(key, []).append(kernel)
    return [
        Group(
            Layout(sum(each.shape[0] for each in kernels), *key),
            tuple(kernels),
        )
        for key, kernels in groups.items()
    ]


def count_in_chains(
    groups: Sequence[Group], variables: Sequence[keras.Variable]
) -> int:
    """Return how many kernels no normalisation follows, which would undo their scale.

    It shows by its own weights right after the kernel's.
    """
    count = 0
    for kernel in (each for group in groups for each in group.kernels):
        after = 1 + (kernel.place if kernel.bias is None else kernel.bias)
        name = variables[after].name if after < len(variables) else ""
        if name.removeprefix("stacked_") not in _OF_NORMALISATION:
            count += kernel.shape[0]
    return count


def warn_of_others(
    variables: Sequence[keras.Variable], others: Sequence[int], fallback: str
) -> None:
    """Warn if the optimizer `fallback` moves many of the weights, those of `others`."""
    sizes = [math.prod(variable.shape) for variable in variables]
    part = sum(sizes[i] for i in others) / sum(sizes)
    if part > TOLD:
        largest = variables[max(others, key=lambda i: sizes[i])].path
        warnings.warn(
            f"{fallback} moves {part:.0%} of the weights, as they are not kernels. "
            f"Received: for example '{largest}'. If it is a matrix, end its name in "
            "'kernel'; see `chosen_geometries`.",
            stacklevel=4,
        )


def _read(
    place: int, variable: keras.Variable, variables: Sequence[keras.Variable]
) -> Kernel | None:
    """Read a variable as a kernel with its bias; None if it is not a kernel.

    Kernels are named so, or `pointwise_kernel`, `recurrent_kernel`. Their last axis
    holds the outputs, the one before it the inputs and all others the sites, except
    that a bias of several axes shows as many axes of outputs, and of a
    `stacked_…kernel` the first axis counts kernels.
    """
    name, path, shape = variable.name, str(variable.path), tuple(variable.shape)
    if not name.endswith("kernel") or "depthwise" in path or len(shape) < 2:
        return None
    stacked = name.startswith("stacked_")
    count, each = (shape[0], shape[1:]) if stacked else (1, shape)
    bias = None if "transpose" in path else _bias_of(place, variables)
    many = 2 if len(each) == 3 and _layer_of(variable) in _PROJECTIONS else 1
    if bias is not None:
        rest = tuple(variables[bias].shape)[stacked:]
        if rest and rest == each[-len(rest) :] and len(rest) < len(each):
            many = len(rest)
        else:
            bias = None
    *sites, inputs = each[:-many]
    outputs, positions = math.prod(each[-many:]), math.prod(sites)
    if outputs == 1 and positions > 1:  # each channel by itself, as depthwise ones
        return None
    return Kernel(place, bias, (count, positions, inputs, outputs))


def _bias_of(place: int, variables: Sequence[keras.Variable]) -> int | None:
    """Return the place of the bias that the kernel's layer made right after it."""
    layer = _owner(variables[place])
    if layer and place + 1 < len(variables):
        other = variables[place + 1]
        if _owner(other) == layer and other.name in ("bias", "stacked_bias"):
            return place + 1
    return None


def _owner(variable: keras.Variable) -> str:
    return str(variable.path).rpartition("/")[0]


def _layer_of(variable: keras.Variable) -> str:
    return _owner(variable).rpartition("/")[2]
