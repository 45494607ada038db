"""Creates the variables of a model and its optimizer, before any scope is open."""

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


def build(model: Any, x: Any = None) -> None:
    """Create the optimizer's variables; the model's too, if `x` is given.

    `built` of a model with a `call` of its own may say so too early.
    """
    check_optimizer(model)
    if model.optimizer.built:
        return
    layers = (layer for layer, _ in walk_layers(model))
    if not (model.built and all(layer.built for layer in layers)):
        if x is None:
            return
        model(x)
    model.optimizer.build(model.trainable_variables)
