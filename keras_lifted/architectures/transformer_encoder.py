"""The transformer's encoder, its perceptrons lifted."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.checks import check_count
from keras_lifted.models.lifted_model import LiftedModel


def transformer_encoder(
    input_shape: Sequence[int],
    outputs: int,
    blocks: int = 2,
    width: int = 64,
    heads: int = 4,
    units: int | None = None,
    activation: Any = "relu",
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Map sequences to vectors, through blocks of attention and a perceptron.

    With `N` a layer normalisation, `u_0 = E x + p` the tokens embedded and `p` their
    positions, block l is

        `v_l = u_{l−1} + Attention_l(N(u_{l−1}))`,
        `u_l = v_l + V_l σ_l(W_l N(v_l) + b_l) + c_l`.

    The mean over tokens of `N(u_L)`, and one affine map of it, are the output. The
    lifted variables are the `σ_l(·)`, `(batch, tokens, units)`; attention and
    normalisation are an ordinary, differentiated part of the block between them.

    Args:
        input_shape: tuple. The shape of one sample, `(tokens, features)`.
        outputs: int. The width of the output, `(batch, outputs)`.
        blocks: int. The number of attentions, and of perceptrons. Defaults to 2.
        width: int. The width of the embedded tokens, a multiple of `heads`. Defaults to
            64.
        heads: int. The heads of each attention. Defaults to 4.
        units: int. The width of the perceptrons; None for four times `width`. Defaults
            to None.
        activation: activation or sequence. As for `mlp`; a sequence has one for each
            block. Defaults to "relu".
        cls: class. As for `mlp`. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "activation_1", ….

    Raises:
        ValueError: If an argument is malformed, or an activation is not a proximal map.

    Source: Vaswani et al., arXiv 1706.03762, with the normalisation before each part,
    Xiong et al., arXiv 2002.04745.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.transformer_encoder((28, 28), 10, width=32)
    >>> [block.name for block in model.lifted_blocks]
    ['activation_1', 'activation_2']
    """
    shape = arguments.check_shape(input_shape, 2)
    outputs = check_count("outputs", outputs)
    blocks = check_count("blocks", blocks, "of attention and perceptron")
    width = check_count("width", width, "of the embedded tokens")
    heads = check_count("heads", heads, "of each attention")
    units = check_count("units", 4 * width if units is None else units)
    cls = arguments.check_class(cls)
    if width % heads:
        raise ValueError(
            "`width` must be a multiple of `heads`, which share it equally, e.g. "
            f"width={heads * -(-width // heads)}. Received: width={width}, "
            f"heads={heads}"
        )
    names = [f"activation_{i + 1}" for i in range(blocks)]
    sigmas = arguments.activations(activation, names)
    inputs = keras.Input(shape)
    u = layers.EinsumDense(  # its biases are the positions
        "btf,fw->btw",
        output_shape=(shape[0], width),
        bias_axes="tw",
        bias_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name="embedding",
    )(inputs)
    for i, sigma in enumerate(sigmas, start=1):
        normal = layers.LayerNormalization(name=f"attention_{i}_normalization")(u)
        attend = layers.MultiHeadAttention(heads, width // heads, name=f"attention_{i}")
        u = layers.Add()([u, attend(normal, normal)])
        hidden = layers.LayerNormalization(name=f"normalization_{i}")(u)
        hidden = sigma(layers.Dense(units, name=f"dense_{i}")(hidden))
        u = layers.Add()([u, layers.Dense(width, name=f"dense_{i}_out")(hidden)])
    u = layers.LayerNormalization(name="normalization")(u)
    u = layers.GlobalAveragePooling1D(data_format="channels_last")(u)
    return cls(inputs, layers.Dense(outputs, name="output")(u), name=name)
