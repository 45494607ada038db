"""Networks of dense layers."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.checks import check_count
from keras_lifted.layers import SoftThreshold
from keras_lifted.models.lifted_model import LiftedModel


def mlp(
    input_shape: Sequence[int],
    units: Sequence[int],
    outputs: int,
    activation: Any = "relu",
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Build `x_l = σ_l(W_l x_{l−1} + b_l)` and a linear output `W_L x_{L−1} + b_L`.

    Args:
        input_shape: tuple. The shape of one sample, without the batch; it is flattened.
        units: sequence of int. The widths of the hidden layers, from input to output.
        outputs: int. The width of the output, `(batch, outputs)`.
        activation: activation or sequence. A proximal activation of `kl.layers`, its
            class, name or config, for every hidden layer; or a sequence of these, one
            for each. Each layer gets a copy of an instance. Defaults to "relu".
        cls: class. `kl.LiftedModel`, or `keras.Model` for the same network without
            lifting. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "activation_1", ….

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Wang & Benning, JMLR 24(232), 2023.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.mlp((28, 28, 1), (256, 128), 10, activation="soft_threshold")
    >>> model.output_shape
    (None, 10)
    """
    shape = arguments.check_shape(input_shape)
    units = arguments.check_widths("units", units)
    outputs = check_count("outputs", outputs)
    cls = arguments.check_class(cls)
    names = [f"activation_{i + 1}" for i in range(len(units))]
    sigmas = arguments.activations(activation, names)
    inputs = keras.Input(shape)
    x = layers.Flatten()(inputs) if len(shape) > 1 else inputs
    for i, (width, sigma) in enumerate(zip(units, sigmas, strict=True)):
        x = sigma(layers.Dense(width, name=f"dense_{i + 1}")(x))
    return cls(inputs, layers.Dense(outputs, name="output")(x), name=name)


def sparse_autoencoder(
    input_shape: Sequence[int],
    code: int = 64,
    units: Sequence[int] = (256, 128, 256),
    threshold: float = 0.1,
    learnable: bool = False,
    activation: Any = "relu",
    output_activation: Any = None,
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Build five affine maps `z_l = W_l x_{l−1} + b_l`, a soft threshold at the third.

    `x_1 = σ_1(z_1)`, `x_2 = σ_2(z_2)`, the code `x_3 = S_λ(z_3)` with
    `S_λ(z) = sign(z) · max(|z| − λ, 0)`, `x_4 = σ_4(z_4)`, and `z_5` or `σ_5(z_5)`.
    The code is sparse as `S_λ` is the proximal map of `λ‖·‖₁`.

    Args:
        input_shape: tuple. The shape of one sample, without the batch, and of the
            output.
        code: int. The width of the code, `(batch, code)`; its layer is named "code".
            Defaults to 64.
        units: sequence of int. The widths of the first, second and fourth layer.
            Defaults to (256, 128, 256).
        threshold: float. `λ ≥ 0` of the code, in the unit of `z_3`. Defaults to 0.1.
        learnable: bool. Whether `λ` is trained. Defaults to False.
        activation: activation or sequence. That of the first, second and fourth layer,
            as for `mlp`. Defaults to "relu".
        output_activation: activation. That of the output; None for a linear output.
            Defaults to None.
        cls: class. As for `mlp`. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "activation_1",
        "activation_2", "code", "activation_4" and, where there is one,
        "activation_5".

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Wang & Benning, JMLR 24(232), 2023.

    Example:

    >>> import keras, keras_lifted as kl
    >>> model = kl.models.sparse_autoencoder((28, 28, 1), code=32)
    >>> model.output_shape
    (None, 28, 28, 1)
    >>> encoder = keras.Model(model.inputs, model.get_layer("code").output)
    >>> encoder.output_shape
    (None, 32)
    """
    shape = arguments.check_shape(input_shape)
    code = check_count("code", code, "the width of the code")
    units = arguments.check_widths("units", units, least=3)
    if len(units) != 3:
        raise ValueError(
            "`units` must be the widths of the first, second and fourth layer: three "
            f"of them, e.g. (256, 128, 256). Received: units={units!r}"
        )
    cls = arguments.check_class(cls)
    names = ["activation_1", "activation_2", "activation_4"]
    first, second, fourth = arguments.activations(activation, names)
    third = SoftThreshold(threshold, learnable, name="code")
    sigmas: list[Any] = [first, second, third, fourth]
    if output_activation is not None:
        sigmas += arguments.activations(
            output_activation, ["activation_5"], "output_activation"
        )
    inputs = keras.Input(shape)
    x = (
        layers.Flatten(data_format="channels_last")(inputs)
        if len(shape) > 1
        else inputs
    )
    for i, width in enumerate([*units[:2], code, units[2], math.prod(shape)]):
        x = layers.Dense(width, name=f"dense_{i + 1}")(x)
        x = sigmas[i](x) if i < len(sigmas) else x
    if len(shape) > 1:
        x = layers.Reshape(shape)(x)
    return cls(inputs, x, name=name)
