"""Models that others wrote, small enough to train for a few steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from benchmarks.keras_io import (
    BATCH,
    LABELS,
    LOGITS,
    SMALL,
    Build,
    Given,
    classes,
    images,
    tokens,
)

# Pixels on a side.
APPLICATIONS = {
    "VGG16": 32,
    "ResNet50V2": 32,
    "MobileNetV3Small": 32,
    "EfficientNetB0": 32,
    "DenseNet121": 32,
    "ConvNeXtTiny": 32,
    "Xception": 71,
}


def application(name: str, size: int) -> Build:
    """Return what builds a network of `keras.applications`."""

    def build() -> Given:
        make = getattr(keras.applications, name)
        model = make(weights=None, classes=10, input_shape=(size, size, 3))
        return model, images(size), classes(), LABELS

    return build


def _text() -> dict[str, np.ndarray]:
    """A batch of sentences."""
    ids = tokens(12)
    return {"token_ids": ids, "padding_mask": np.ones_like(ids)}


def _two_texts() -> dict[str, np.ndarray]:
    """A batch of sentences for an encoder and a decoder."""
    parts = ("encoder", "decoder")
    return {f"{part}_{key}": x for part in parts for key, x in _text().items()}


def _speech() -> dict[str, np.ndarray]:
    """A batch of spectra for an encoder, and of sentences for a decoder."""
    spectra = np.random.default_rng(0).normal(size=(BATCH, 24, 8))
    texts = {f"decoder_{key}": x for key, x in _text().items()}
    return {"encoder_features": spectra, **texts}


def _like(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """An input of the shape, dtype and name of another."""
    return keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name)


WIDTH = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8}
WORDS = {**WIDTH, "vocabulary_size": 50, "intermediate_dim": 16}
# Settings of a backbone of keras-hub, and its inputs.
BACKBONES: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "Bert": (
        {**WORDS, "max_sequence_length": 12},
        lambda: {**_text(), "segment_ids": np.zeros((BATCH, 12), int)},
    ),
    "GPT2": ({**WORDS, "max_sequence_length": 12}, _text),
    "ViT": (
        {**WIDTH, "mlp_dim": 16, "image_shape": (16, 16, 3), "patch_size": (8, 8)},
        lambda: images(16),
    ),
    "T5": (WORDS, _two_texts),
    "Whisper": (
        {
            **{**WORDS, "num_mels": 8, "max_encoder_sequence_length": 24},
            "max_decoder_sequence_length": 12,
        },
        _speech,
    ),
    "ResNet": (
        {
            **{"input_conv_filters": [64], "input_conv_kernel_sizes": [3]},
            **{"stackwise_num_filters": [64, 64], "stackwise_num_blocks": [1, 1]},
            **{"stackwise_num_strides": [1, 2], "block_type": "basic_block"},
            "image_shape": (16, 16, 3),
        },
        lambda: images(16),
    ),
}


def hub_model(name: str) -> Build:
    """Return what builds a small classifier on a backbone of keras-hub."""

    def build() -> Given:
        import keras_hub

        settings, x = BACKBONES[name]
        backbone = getattr(keras_hub.models, f"{name}Backbone")(**settings)
        inputs = keras.tree.map_structure(_like, backbone.input)
        h = backbone(inputs)
        if isinstance(h, dict):
            h = h.get("decoder_sequence_output", h.get("sequence_output"))
        h = layers.Reshape((-1, h.shape[-1]))(h)
        h = layers.GlobalAveragePooling1D()(h)
        return keras.Model(inputs, layers.Dense(10)(h)), x(), classes(), LOGITS

    return build


def dlrm() -> Given:
    """Deep learning recommendation model, with the interaction of keras-rs."""
    import keras_rs

    dense = keras.Input((4,))
    sparse = [keras.Input((), dtype="int32") for _ in range(2)]
    bottom = layers.Dense(8, activation="relu")(
        layers.Dense(8, activation="relu")(dense)
    )
    features = [layers.Embedding(50, 8)(s) for s in sparse]
    crossed = keras_rs.layers.DotInteraction()([bottom, *features])
    x = layers.Concatenate()([bottom, crossed])
    outputs = layers.Dense(1, "sigmoid")(layers.Dense(8, activation="relu")(x))
    ids = tokens(1)[:, 0]
    x = [np.random.default_rng(0).normal(size=(BATCH, 4)), ids, ids]
    return keras.Model([dense, *sparse], outputs), x, classes(2), "binary_crossentropy"


HUB: dict[str, Build] = {f"{name} of keras-hub": hub_model(name) for name in BACKBONES}
LARGE: dict[str, Build] = {
    name: application(name, size) for name, size in APPLICATIONS.items()
}
ZOO: dict[str, Build] = {**SMALL, "DLRM of keras-rs": dlrm, **HUB, **LARGE}
