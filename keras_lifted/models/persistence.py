"""Numbers the samples of a `fit`, and makes room for their lifted variables."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_lifted import backend, optimizers
from keras_lifted.lifting.batch import Batch
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.models.build import build
from keras_lifted.persistent.indices import indexed, take_index

# As many rows as tell a sample's axis from a sample's shape.
ROWS = 2


def with_indices(
    model: Any, train: Callable[..., Any], *given: Any, **named: Any
) -> Any:
    """Call `fit` or `train_on_batch`, samples numbered where the optimizer keeps them.

    A ValueError says that they have no index, or that their number is unknown.
    """
    lifted = optimizers.lifted_part(getattr(model, "optimizer", None))
    if lifted is None or lifted.persistent is None:
        return train(*given, **named)
    bound = inspect.signature(train).bind(*given, **named)
    x = bound.arguments.get("x")
    inputs, index = take_index(x)
    if x is not None and _is_array(inputs):
        samples = None
        if index is None:
            if train.__name__ != "fit":
                raise _no_index("a batch of arrays")
            samples = len(tree.flatten(inputs)[0])
            bound.arguments["x"] = indexed(x, np.arange(samples, dtype="int32"))
        spec = inputs
    else:
        samples, spec = None, _spec(x)
    _make_room(model, lifted, spec, samples)
    return train(*bound.args, **bound.kwargs)


def checked_index(model: Any, index: Any) -> Any:
    """Return the index, `(batch,)` integers, or None; a ValueError if it is not so."""
    lifted: Any = optimizers.lifted_part(model.optimizer)
    if lifted.persistent is None:
        return None
    if index is None:
        raise _no_index("a batch without one")
    if lifted.memory is None:
        raise ValueError(
            "Persistent lifted variables have no room yet. Received: a training "
            "step outside of `fit` and `train_on_batch`. Call one of these."
        )
    if backend.replicas() > 1:
        raise ValueError(
            "Persistent lifted variables live on one device. Received: "
            f"{backend.replicas()} replicas. Train without tf.distribute, or with "
            "persistent=False."
        )
    kind = keras.backend.standardize_dtype(index.dtype)
    if len(index.shape) != 1 or "int" not in kind:
        raise ValueError(
            "The index of a batch must be integers of shape (batch,). Received: "
            f"{kind} of shape {tuple(index.shape)}. Number single samples, before "
            "they are batched."
        )
    return ops.cast(index, "int32")


def _make_room(model: Any, lifted: Any, spec: Any, samples: int | None) -> None:
    """Find the shapes of the lifted variables and tell the optimizer."""
    x = tree.map_structure(_probe, spec)
    build(model, x)
    weights = ops.ones((len(model.lifted_blocks),))
    batch = Batch(x, None, None)
    problem = LiftedProblem(model, model.lifted_blocks, batch, lifted.penalty, weights)
    shapes = problem.structure.shapes
    for key in problem.structure.keys:
        if shapes[key][0] != ROWS:
            raise ValueError(
                "Persistent lifted variables need the sample as the first axis of "
                f"every activation. Received: '{key}' of shape {shapes[key]} for "
                f"{ROWS} samples. Reshape after it, or use persistent=False."
            )
    lifted.keep(samples, {key: shapes[key][1:] for key in problem.structure.keys})
    if lifted.persistent.on_disk and model.jit_compile and not backend.HOST_IN_XLA:
        warnings.warn(
            f"The optimizer keeps lifted variables on disk, in "
            f"{lifted.persistent.directory!r}, which steps compiled by XLA cannot "
            "read. Proceeding with jit_compile=False.",
            stacklevel=3,
        )
        model.jit_compile = False


def _is_array(x: Any) -> bool:
    return all(hasattr(leaf, "shape") for leaf in tree.flatten(x) if leaf is not None)


def _spec(data: Any) -> Any:
    """Return inputs of one batch of `data`, or what has their shapes and dtypes."""
    if isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    elif hasattr(data, "element_spec"):
        batch = data.element_spec
    else:
        raise _no_index(type(data).__name__)
    x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
    inputs, index = take_index(x)
    if index is None:
        raise _no_index(f"a {type(data).__name__} without one")
    return inputs


def _no_index(received: str) -> ValueError:
    return ValueError(
        "Persistent lifted variables are kept by the index of each sample. "
        f"Received: {received}. Give `fit` arrays, which it numbers itself; a "
        "tf.data.Dataset that went through `kl.with_index(samples)` before shuffle and "
        "batch; or a PyDataset that returns `kl.indexed(x, index), y`."
    )


def _probe(leaf: Any) -> Any:
    """Return `ROWS` samples of zeros, of the shape and dtype of `leaf`."""
    if leaf is None:
        return None
    kind = keras.backend.standardize_dtype(leaf.dtype)
    kind = keras.config.floatx() if kind == "float64" else kind
    return ops.zeros((ROWS, *(size or 1 for size in leaf.shape[1:])), kind)
