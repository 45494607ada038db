"""The questions, as data."""

from __future__ import annotations

import dataclasses

from benchmarks.methods import BASELINES
from benchmarks.tasks import RESTORATION
from benchmarks.zoo import ZOO


@dataclasses.dataclass(frozen=True)
class Suite:
    """A question, and what is run to answer it.

    Attributes:
        question: str. What the table shows.
        measure: str. "cost", "quality" or "zoo".
        tasks: tuple. Names of tasks.
        methods: tuple. Names of methods.
        seeds: int. Seeds of every run, of measure "quality".
    """

    question: str
    measure: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: int = 3


SUITES: dict[str, Suite] = {
    "cost": Suite(
        "What does a step cost, and its compilation?",
        "cost",
        ("mlp_cost", "resnet_20", "transformer_8"),
        (*BASELINES, "steepest_descent", "lifted_adam"),
    ),
    "large": Suite(
        "What does a step of large networks cost?",
        "cost",
        ("resnet_50", "bert_base", "densenet_121", "efficientnet_b0"),
        ("adam", "steepest_descent"),
    ),
    "quality": Suite(
        "What quality after how many epochs, and after what time?",
        "quality",
        (
            *("mlp", "conv", "deblurring", "tanh_20", "soft_threshold_20"),
            *("sigmoid_10", "sigmoid_20", "digits", "autoencoder_relu"),
            *("autoencoder_soft_threshold", "autoencoder_sigmoid"),
        ),
        (*(name for name in BASELINES if name != "adam"), "steepest_descent"),
    ),
    "networks": Suite(
        "How do networks train that people use?",
        "quality",
        ("resnet_20_fashion", "mobilenet_fashion", "vit_fashion"),
        ("adamw", "muon", "steepest_descent"),
    ),
    "depth": Suite(
        "How does the cost grow with depth?",
        "cost",
        ("resnet_20", "resnet_56", "transformer_2", "transformer_24"),
        ("adam", "muon", "steepest_descent"),
    ),
    "zoo": Suite(
        "What does a swap-in cost models that others wrote?",
        "zoo",
        tuple(ZOO),
        ("lifted_adam",),
    ),
    "stack": Suite(
        "What does a step of a deep stack cost, layer by layer and all at once?",
        "cost",
        ("layers_16", "layers_64", "stack_16", "stack_64"),
        ("adam", "lifted_adam", "lifted_adam_rounds"),
    ),
    "restoration": Suite(
        "How well are degraded images restored?",
        "quality",
        tuple(RESTORATION),
        ("adamw", "schedule_free_adamw", "muon", "soap", "steepest_descent"),
    ),
}
