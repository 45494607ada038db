"""What the builders share: checks of arguments and new activations."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_lifted.checks import check_count, is_count
from keras_lifted.layers import ProximalActivation, get

# By rank: what the sizes of a sample are, and an example.
SHAPES: dict[int | None, tuple[str, str]] = {
    2: ("(tokens, features)", "(28, 28)"),
    3: ("(height, width, channels)", "(28, 28, 1)"),
}


def check_shape(
    input_shape: Any, rank: int | None = None, free: bool = False
) -> tuple[Any, ...]:
    """Return `input_shape` as a tuple of `rank` sizes, without the batch.

    With `free`, None may stand for height and width. Raise a ValueError otherwise.
    """
    listed = isinstance(input_shape, (tuple, list))
    shape = tuple(input_shape) if listed else ()
    sizes = [n for n in shape[:-1] if n is not None or not free] + [*shape[-1:]]
    if shape and len(shape) == (rank or len(shape)) and all(map(is_count, sizes)):
        return tuple(n and int(n) for n in shape)
    what, example = SHAPES.get(rank, ("(features,)", "(784,)"))
    raise ValueError(
        f"`input_shape` must be the shape {what} of one sample, without the batch, "
        f"in positive integers, e.g. {example}. Received: input_shape={input_shape!r}"
    )


def check_widths(name: str, value: Any, least: int = 1) -> tuple[int, ...]:
    """Return a tuple of at least `least` positive integers, or raise a ValueError."""
    if not isinstance(value, (tuple, list)) or len(value) < least:
        raise ValueError(
            f"`{name}` must be a sequence of at least {least} widths, e.g. "
            f"{tuple(16 * 2**i for i in range(max(least, 2)))}. "
            f"Received: {name}={value!r}"
        )
    return tuple(check_count(name, each, "each is a width") for each in value)


def check_class(cls: Any) -> Any:
    """Check that `cls` builds a functional model, or raise a ValueError."""
    model = isinstance(cls, type) and issubclass(cls, keras.Model)
    if model and not issubclass(cls, keras.Sequential):
        return cls
    raise ValueError(
        "`cls` must be a class of functional models, such as kl.LiftedModel or "
        f"keras.Model. Received: cls={cls!r}"
    )


def activations(
    activation: Any, names: Sequence[str], argument: str = "activation"
) -> list[ProximalActivation]:
    """Return a new proximal activation for every one of the `names` of layers.

    `activation` is what `kl.layers.get` takes, for all of them, or a sequence of these;
    no two places share an instance or its learnable parameters.

    Raises:
        ValueError: If there is not one proximal activation for each of the names.
    """
    each = activation
    if not isinstance(activation, (tuple, list)):
        each = [activation] * len(names)
    if len(each) != len(names):
        raise ValueError(
            f"`{argument}` must be one activation for all, or one for each of "
            f"{list(names)}. Received: {len(each)} of them in {activation!r}"
        )
    patterns = [get(one) for one in each]
    return [
        type(pattern).from_config({**pattern.get_config(), "name": name})
        for pattern, name in zip(patterns, names, strict=True)
    ]
