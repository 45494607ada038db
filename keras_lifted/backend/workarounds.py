"""Private names of Keras and TensorFlow, each with the reason for it.

| name | reason | needless once |
|---|---|---|
| `tf.__internal__.FuncGraph` | a graph of a function, traced within another trace and never run | TensorFlow exports one |
| `keras.src.models.cloning._clone_sequential_model` | it makes a plain Sequential of every subclass | Keras clones by `type(model)`; Keras 3.15 does not |
| `Variable._initializer` | how a layer starts its variables, to start many copies of one | Keras tells of initializers; Keras 3.15 does not |
"""  # noqa: E501

from typing import Any

import keras
from keras.src.models import cloning


def func_graph(name: str) -> Any:
    """Return an empty graph that may read tensors of the graphs around it."""
    import tensorflow as tf

    return tf.__internal__.FuncGraph(name)


def initializer_of(variable: keras.Variable) -> Any:
    """Return what a variable made in a stateless scope, still open, starts from."""
    return variable._initializer


def let_clones_keep(kind: type[keras.Sequential]) -> None:
    """Let `keras.models.clone_model` make a `kind` of a `kind`."""
    original = cloning._clone_sequential_model

    def clone(model: Any, *arguments: Any, **keywords: Any) -> Any:
        cloned = original(model, *arguments, **keywords)
        if type(model) is not kind:
            return cloned
        inputs = cloned.inputs if cloned.built else []
        kept = kind([*inputs, *cloned.layers], name=model.name)
        kept.trainable = model.trainable
        if model.compiled:
            kept.compile_from_config(model.get_compile_config())
        return kept

    cloning._clone_sequential_model = clone
