"""TensorFlow: gradients and graphs."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from keras_lifted.backend.graph import Graph
from keras_lifted.backend.workarounds import func_graph

Tensor = Any

# Whether XLA compiles calls of `on_host`.
HOST_IN_XLA = False
# Whether variables hold their values themselves during a step.
STATEFUL = True


def gradient(
    function: Callable[..., tuple[Tensor, Any]], arguments: Sequence[Any]
) -> tuple[tuple[Tensor, Any], list[Any]]:
    """Return `function(*arguments)` and the gradients; None where nothing connects.

    Those of tables of which rows are read are `IndexedSlices`, as in Keras's own step:
    its optimizers square the rows one by one, and the others cost nothing.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(arguments)
        value, auxiliary = function(*arguments)
    return (value, auxiliary), tape.gradient(value, list(arguments))


def dense(gradient: Tensor) -> Tensor:
    """Return the gradient as a tensor, where it is `IndexedSlices`."""
    return tf.convert_to_tensor(gradient)


def pullback(
    function: Callable[..., Tensor], point: Sequence[Any]
) -> tuple[Tensor, Callable[[Tensor], Sequence[Any]]]:
    """Return `function(*point)`, and the map from a cotangent to those in the point."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(point)
        value = function(*point)

    def pull(cotangent: Tensor) -> Sequence[Any]:
        zero = tf.UnconnectedGradients.ZERO
        found: Sequence[Any] = tape.gradient(value, point, cotangent, zero)
        return found

    return value, pull


def batched(function: Callable[..., Any], elements: tuple[Any, ...]) -> Any:
    """Return `function` of every slice of the first axis, in a loop.

    Its turns wait for none other, but XLA takes them one by one. TensorFlow cannot
    batch a convolution over kernels in a step that XLA compiles.
    """
    return keras.ops.map(lambda each: function(*each), elements)


def trace(function: Callable[[Any], Any], argument: Any) -> Graph:
    """Return the graph of `function(argument)`, traced and never run."""
    graph = func_graph("lifting_structure")
    with graph.as_default():
        outputs = function(tree.map_structure(_placeholder, argument))
    tensors: dict[int, Any] = {}

    def node(tensor: Any) -> int:
        tensors[id(tensor)] = tensor
        return id(tensor)

    def producer(key: Any) -> tuple[str, tuple[int, ...]]:
        operation = tensors[key].op
        return operation.type, tuple(node(t) for t in operation.inputs)

    return Graph(tree.map_structure(node, outputs), producer)


def while_loop(
    more: Callable[..., Tensor], body: Callable[..., Any], state: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Run `tf.while_loop`."""
    return tuple(tf.while_loop(more, lambda *s: tuple(body(*s)), state))


def scan(
    body: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]],
    start: Tensor,
    inputs: tuple[Tensor, ...],
    dtypes: tuple[Any, ...] = (),
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Loop `carry, outputs = body(carry, slices)` along the first axis of `inputs`.

    A `tf.while_loop` whose length is known, so that XLA can differentiate it.
    """
    length = int(inputs[0].shape[0])
    read = [tf.TensorArray(each.dtype, length).unstack(each) for each in inputs]
    written = tuple(tf.TensorArray(dtype, length) for dtype in dtypes)

    def step(i: Tensor, carry: Tensor, written: Any) -> tuple[Any, ...]:
        at = length - 1 - i if reverse else i
        carry, outputs = body(carry, tuple(each.read(at) for each in read))
        written = tuple(
            array.write(at, output)
            for array, output in zip(written, outputs, strict=True)
        )
        return i + 1, carry, written

    _, carry, written = tf.while_loop(
        lambda i, *_: i < length,
        step,
        (0, start, written),
        maximum_iterations=length,
    )
    return carry, tuple(array.stack() for array in written)


def cond(predicate: Tensor, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """Run `tf.cond`."""
    return tf.cond(predicate, yes, no)


def eagerly() -> Any:
    """Return a context that assigns at once, while a step is traced too."""
    return tf.init_scope()


def compiled(function: Callable[..., Any], xla: bool = True) -> Callable[..., Any]:
    """Compile `function` of structures of tensors, once for every set of shapes."""
    traced = tf.function(function, jit_compile=xla, autograph=False)
    concrete: dict[Any, Callable[..., Any]] = {}

    def call(*arguments: Any) -> Any:
        leaves = tree.flatten(arguments)
        key = tuple((tuple(leaf.shape), leaf.dtype) for leaf in leaves)
        if key not in concrete:
            concrete[key] = traced.get_concrete_function(*arguments)
        return concrete[key](*arguments)

    return call


def poisson(rate: Tensor, seed: Tensor) -> Tensor:
    """Draw Poisson samples of mean `rate`; `seed` is what a SeedGenerator gives."""
    seed = tf.cast(tf.convert_to_tensor(seed), "int32")
    return tf.random.stateless_poisson(tf.shape(rate), seed, rate, dtype=rate.dtype)


def make_train_function(model: Any, make: Callable[..., Any], *arguments: Any) -> Any:
    """Call `make`, which is Keras's."""
    return make(*arguments)


def _placeholder(part: Any) -> Any:
    """Return a symbolic tensor of its shape and dtype, or None for none."""
    if part is None or isinstance(part, tf.OptionalSpec):
        return None
    if isinstance(part, (tf.SparseTensor, tf.SparseTensorSpec)):
        return tf.compat.v1.sparse_placeholder(part.dtype, part.shape)
    return tf.compat.v1.placeholder(part.dtype, part.shape)


def run_step(model: Any, step: Callable[[Any], Any], *arguments: Any) -> Any:
    """Return `step(data)` of `(data,)`; variables hold their values themselves."""
    return step(*arguments)


def current_trace() -> Any:
    """Return what identifies the trace that runs now; None where all runs at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def on_host(
    function: Callable[..., Any],
    outputs: Sequence[tuple[tuple[int | None, ...], str]],
    *arguments: Tensor,
) -> list[Tensor]:
    """Call a NumPy function, in its place in the order of a training step.

    It takes arrays and returns a list of them; `outputs` are their shapes and dtypes.
    """
    dtypes = [dtype for _, dtype in outputs]
    results = tf.numpy_function(function, arguments, dtypes)
    if not outputs:
        return []
    for result, (shape, _) in zip(results, outputs, strict=True):
        result.set_shape(shape)
    return list(results)


def solve(a: Tensor, b: Tensor) -> Tensor:
    """Solve `a x = b`; `ops.solve` of Keras 3.8 fails in loops."""
    return tf.linalg.solve(a, b)


def read_rows(variable: Any, index: Tensor) -> Tensor:
    """Return rows of a variable, `(batch, …)`."""
    return tf.gather(variable.value, index)


def write_rows(variable: Any, index: Tensor, rows: Tensor) -> None:
    """Replace rows of a variable, without copying the others."""
    variable.value.scatter_update(tf.IndexedSlices(rows, index))
