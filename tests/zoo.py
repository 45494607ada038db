"""Models that others wrote, small enough to train for a few steps."""

import keras
import numpy as np
from keras import layers
from keras import ops

B = 8


def images(size, channels=3):
    return np.random.default_rng(0).normal(size=(B, size, size, channels))


def tokens(length, words=50):
    return np.random.default_rng(0).integers(1, words, (B, length))


def classes(count=10):
    return np.random.default_rng(1).integers(0, count, B)


def application(name, size):
    def build():
        make = getattr(keras.applications, name)
        model = make(weights=None, classes=10, input_shape=(size, size, 3))
        return model, images(size), classes(), "sparse_categorical_crossentropy"

    return build


APPLICATIONS = {
    "VGG16": 32,
    "ResNet50V2": 32,
    "MobileNetV3Small": 32,
    "EfficientNetB0": 32,
    "DenseNet121": 32,
    "ConvNeXtTiny": 32,
    "Xception": 71,
}


def unet():
    inputs = keras.Input((16, 16, 3))
    skips, x = [], inputs
    for width in (4, 8):
        x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    for width in (8, 4):
        x = layers.Conv2DTranspose(width, 3, 2, padding="same", activation="relu")(x)
        x = layers.Concatenate()([x, skips.pop()])
    outputs = layers.Conv2D(3, 1, activation="softmax")(x)
    y = np.random.default_rng(1).integers(0, 3, (B, 16, 16))
    model = keras.Model(inputs, outputs)
    return model, images(16), y, "sparse_categorical_crossentropy"


@keras.saving.register_keras_serializable(package="zoo")
class Sampling(layers.Layer):
    """Draws from a normal distribution, and adds its divergence to the loss."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(7)

    def call(self, inputs):
        mean, log = inputs
        kl = ops.mean(ops.square(mean) + ops.exp(log) - log - 1.0)
        self.add_loss(0.05 * kl)
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log) * noise


def vae():
    inputs = keras.Input((20,))
    x = layers.Dense(16, "relu")(inputs)
    z = Sampling()([layers.Dense(4)(x), layers.Dense(4)(x)])
    outputs = layers.Dense(20, "sigmoid")(layers.Dense(16, "relu")(z))
    x = np.random.default_rng(0).uniform(size=(B, 20))
    return keras.Model(inputs, outputs), x, x, "binary_crossentropy"


def recurrent(cell):
    def build():
        inputs = keras.Input((12,), dtype="int32")
        x = layers.Embedding(50, 8, mask_zero=True)(inputs)
        x = layers.Bidirectional(cell(6))(x)
        x = layers.Dropout(0.2, seed=3)(layers.Dense(8, "relu")(x))
        model = keras.Model(inputs, layers.Dense(1, "sigmoid")(x))
        return model, tokens(12), classes(2), "binary_crossentropy"

    return build


def mlp_mixer():
    inputs = keras.Input((16, 8))
    x = inputs
    for _ in range(2):
        y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        y = layers.Dense(16)(layers.Dense(12, activation="gelu")(y))
        x = x + layers.Permute((2, 1))(y)
        y = layers.Dense(12, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(8)(y)
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    x = np.random.default_rng(0).normal(size=(B, 16, 8))
    return keras.Model(inputs, outputs), x, classes(), LOGITS


def gmlp():
    inputs = keras.Input((16, 8))
    x = layers.LayerNormalization()(inputs)
    u = layers.Dense(16, activation="gelu")(x)
    u, v = u[..., :8], u[..., 8:]
    v = layers.Permute((2, 1))(layers.Dense(16)(layers.Permute((2, 1))(v)))
    x = inputs + layers.Dense(8)(u * v)
    outputs = layers.Dense(10)(layers.GlobalAveragePooling1D()(x))
    x = np.random.default_rng(0).normal(size=(B, 16, 8))
    return keras.Model(inputs, outputs), x, classes(), LOGITS


def siamese():
    tower = keras.Sequential(
        [layers.Conv2D(4, 3, activation="tanh"), layers.Flatten(), layers.Dense(6)]
    )
    one, two = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    distance = ops.sqrt(
        ops.sum(ops.square(tower(one) - tower(two)), -1, keepdims=True) + 1e-6
    )
    outputs = layers.Dense(1, "sigmoid")(layers.BatchNormalization()(distance))
    x = [images(8, 1), images(8, 1)[::-1]]
    return keras.Model([one, two], outputs), x, classes(2), "binary_crossentropy"


def two_tower():
    def tower(x):
        x = layers.Flatten()(layers.Embedding(50, 8)(x))
        return layers.UnitNormalization()(
            layers.Dense(8)(layers.Dense(16, activation="relu")(x))
        )

    one, two = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    scores = 5.0 * ops.matmul(tower(one), ops.transpose(tower(two)))
    return keras.Model([one, two], scores), [tokens(1), tokens(1)], np.arange(B), LOGITS


def pointnet():
    inputs = keras.Input((32, 3))
    x = inputs
    for width in (8, 16):
        x = layers.BatchNormalization(momentum=0.0)(layers.Conv1D(width, 1)(x))
        x = layers.Activation("relu")(x)
    x = layers.Dense(8, activation="relu")(layers.GlobalMaxPooling1D()(x))
    outputs = layers.Dense(10, "softmax")(layers.Dropout(0.3, seed=1)(x))
    x = np.random.default_rng(0).normal(size=(B, 32, 3))
    return keras.Model(inputs, outputs), x, classes(), "sparse_categorical_crossentropy"


def tabular():
    age, kind = keras.Input((1,), name="age"), keras.Input((1,), name="kind")
    normal = layers.Normalization()
    normal.adapt(np.arange(20.0)[:, None])
    buckets = layers.Discretization([0.0, 1.0])(kind)
    x = layers.Concatenate()(
        [normal(age), layers.CategoryEncoding(3, output_mode="one_hot")(buckets)]
    )
    outputs = layers.Dense(1, "sigmoid")(layers.Dense(8, "relu")(x))
    rng = np.random.default_rng(0)
    x = {"age": rng.uniform(0, 20, (B, 1)), "kind": rng.normal(size=(B, 1))}
    model = keras.Model({"age": age, "kind": kind}, outputs)
    return model, x, classes(2), "binary_crossentropy"


def super_resolution():
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 5, padding="same", activation="relu")(inputs)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = ops.reshape(x, (-1, 8, 8, 2, 2, 1))
    x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, 16, 16, 1))
    return keras.Model(inputs, x), images(8, 1), images(16, 1), "mse"


def keras_hub(name):
    def build():
        hub = __import__("keras_hub")
        M = hub.models
        width = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8}
        vocabulary = {"vocabulary_size": 50, "intermediate_dim": 16}
        ids = tokens(12)
        text = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        if name == "BERT":
            backbone = M.BertBackbone(**width, **vocabulary, max_sequence_length=12)
            x = {**text, "segment_ids": np.zeros_like(ids)}
            h = backbone.output["pooled_output"]
        elif name == "GPT2":
            backbone = M.GPT2Backbone(**width, **vocabulary, max_sequence_length=12)
            x, h = text, layers.GlobalAveragePooling1D()(backbone.output)
        elif name == "ViT":
            backbone = M.ViTBackbone(
                image_shape=(16, 16, 3),
                patch_size=(8, 8),
                num_layers=2,
                num_heads=2,
                hidden_dim=8,
                mlp_dim=16,
            )
            x, h = images(16), layers.GlobalAveragePooling1D()(backbone.output)
        elif name == "T5":
            backbone = M.T5Backbone(**width, **vocabulary)
            x = {
                f"{part}_{k}": v
                for part in ("encoder", "decoder")
                for k, v in text.items()
            }
            h = layers.GlobalAveragePooling1D()(
                backbone.output["decoder_sequence_output"]
            )
        elif name == "Whisper":
            backbone = M.WhisperBackbone(
                **width,
                **vocabulary,
                num_mels=8,
                max_encoder_sequence_length=24,
                max_decoder_sequence_length=12,
            )
            features = np.random.default_rng(0).normal(size=(B, 24, 8))
            x = {"encoder_features": features}
            x |= {f"decoder_{k}": v for k, v in text.items()}
            h = layers.GlobalAveragePooling1D()(
                backbone.output["decoder_sequence_output"]
            )
        else:
            backbone = M.ResNetBackbone(
                input_conv_filters=[8],
                input_conv_kernel_sizes=[3],
                stackwise_num_filters=[8, 8],
                stackwise_num_blocks=[1, 1],
                stackwise_num_strides=[1, 2],
                block_type="basic_block",
                image_shape=(16, 16, 3),
            )
            x, h = images(16), layers.GlobalAveragePooling2D()(backbone.output)
        model = keras.Model(backbone.input, layers.Dense(10)(h))
        return model, x, classes(), LOGITS

    return build


def dlrm():
    rs = __import__("keras_rs")
    dense = keras.Input((4,))
    sparse = [keras.Input((), dtype="int32") for _ in range(2)]
    bottom = layers.Dense(8, activation="relu")(
        layers.Dense(8, activation="relu")(dense)
    )
    features = [layers.Embedding(50, 8)(s) for s in sparse]
    crossed = rs.layers.DotInteraction()([bottom, *features])
    x = layers.Concatenate()([bottom, crossed])
    outputs = layers.Dense(1, "sigmoid")(layers.Dense(8, activation="relu")(x))
    x = [np.random.default_rng(0).normal(size=(B, 4)), tokens(1)[:, 0], tokens(1)[:, 0]]
    return keras.Model([dense, *sparse], outputs), x, classes(2), "binary_crossentropy"


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SMALL = {
    "U-Net": unet,
    "VAE": vae,
    "LSTM": recurrent(layers.LSTM),
    "GRU": recurrent(layers.GRU),
    "MLP-Mixer": mlp_mixer,
    "gMLP": gmlp,
    "siamese": siamese,
    "two-tower": two_tower,
    "PointNet": pointnet,
    "tabular": tabular,
    "super-resolution": super_resolution,
}
HUB = {
    name: keras_hub(name) for name in ("BERT", "GPT2", "ViT", "T5", "Whisper", "ResNet")
}
LARGE = {name: application(name, size) for name, size in APPLICATIONS.items()}
ZOO = {**SMALL, "DLRM": dlrm, **HUB, **LARGE}
