"""Creates the variables of a model and its optimizer, before any scope is open."""

from __future__ import annotations

from typing import Any

from keras_lifted.lifting.blocks import walk_layers


def check_optimizer(model: Any) -> None:
    """Raise a ValueError if the model was compiled without an optimizer."""
    if getattr(model, "compiled", False) and model.optimizer is None:
        raise ValueError(
            f"The model '{model.name}' was compiled without an optimizer, so "
            "it cannot be trained. Received: optimizer=None. Pass one to "
            "`compile`, for example optimizer='adam'."
        )


def build(model: Any, x: Any) -> None:
    """Create weights and optimizer variables."""
    check_optimizer(model)
    if model.optimizer.built:
        return
    if not _is_built(model):
        model(x)
    model.optimizer.build(model.trainable_variables)


def build_optimizer(model: Any) -> None:
    """Create the optimizer's variables, once those of the model exist."""
    if not model.optimizer.built and _is_built(model):
        model.optimizer.build(model.trainable_variables)


def _is_built(model: Any) -> bool:
    """Return whether the model and all layers in it have their weights.

    `build(input_shape)` of a model with a `call` of its own says so too early.
    """
    return model.built and all(layer.built for layer, _ in walk_layers(model))
