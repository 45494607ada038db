"""The model classes users put in the place of Keras's."""

from typing import Any

import keras

from keras_lifted.backend.workarounds import let_clones_keep
from keras_lifted.checks import described
from keras_lifted.models.training import LiftedMixin


@keras.saving.register_keras_serializable(package="keras_lifted")
class LiftedModel(LiftedMixin, keras.Model):
    """A functional Keras model that trains by lifting instead of backpropagation.

    `LiftedModel(inputs, outputs)` takes the place of `keras.Model(inputs, outputs)`;
    `LiftedModel(m.inputs, m.outputs)` shares the layers of an existing model. Outside
    training it is that Keras model: the same predictions, the same weight files. A
    Keras optimizer given to `compile` trains by lifted Bregman with the default sweep.

    Subclasses build their graph in `__init__`; for a model with a `call` of
    its own use `class MyModel(keras_lifted.LiftedMixin, keras.Model)`.

    Args:
        inputs: symbolic tensors. As for `keras.Model`.
        outputs: symbolic tensors. As for `keras.Model`.
        name: str. The name of the model. Defaults to None.

    Raises:
        TypeError: If a subclass defines `call`, or a model is passed.

    Source: Wang et al., arXiv 2510.09796.

    Example:

    >>> import keras, keras_lifted as kl
    >>> inputs = keras.Input((4,))
    >>> hidden = keras.layers.Dense(8, activation="relu")(inputs)
    >>> model = kl.LiftedModel(inputs, keras.layers.Dense(1)(hidden))
    >>> model.compile(optimizer="adam", loss="mse")
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make it as `keras.Model`; say what to pass instead of a model or arrays."""
        if args and isinstance(args[0], keras.Model):
            raise TypeError(
                "LiftedModel takes the inputs and outputs of a model, not the "
                f"model. Received: {args[0]!r}. Pass its tensors: "
                "`LiftedModel(model.inputs, model.outputs)`."
            )
        for part in keras.tree.flatten(args[:2]):
            if cls is LiftedModel and not isinstance(part, keras.KerasTensor):
                raise TypeError(
                    "LiftedModel takes `inputs` and `outputs`, symbolic tensors that "
                    f"begin with `keras.Input(shape)`. Received: {described(part)}. "
                    "Data go to `fit`."
                )
        return super().__new__(cls, *args, **kwargs)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "call" in cls.__dict__:
            raise TypeError(
                "A subclass of LiftedModel builds its graph from `inputs` and "
                f"`outputs`. Received: class {cls.__name__} with a `call` of its "
                "own. Write it as "
                f"`class {cls.__name__}(keras_lifted.LiftedMixin, keras.Model)`."
            )


@keras.saving.register_keras_serializable(package="keras_lifted")
class LiftedSequential(LiftedMixin, keras.Sequential):
    """A `keras.Sequential` that trains by lifting; see `LiftedModel`.

    Args:
        layers: list of layers. As for `keras.Sequential`. Defaults to None.
        trainable: bool. Whether its variables are trained. Defaults to True.
        name: str. The name of the model. Defaults to None.

    Example:

    >>> import keras, keras_lifted as kl
    >>> model = kl.LiftedSequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    ... )
    >>> model.compile(optimizer="adam", loss="mse")
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make it as `keras.Sequential`; say what to pass instead of a model."""
        if args and isinstance(args[0], keras.layers.Layer):
            model = isinstance(args[0], keras.Model)
            raise TypeError(
                "LiftedSequential takes a list of layers. Received: "
                f"{described(args[0])}. Pass "
                f"`[{'model.inputs[0], *model.layers' if model else 'layer'}]`."
            )
        return super().__new__(cls, *args, **kwargs)


let_clones_keep(LiftedSequential)
