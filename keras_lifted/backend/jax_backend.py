"""JAX: gradients and graphs."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
from jax.experimental import io_callback
from jax.extend.core import get_opaque_trace_state
from keras import tree

from keras_lifted.backend.graph import Graph

Tensor = Any

# Whether XLA compiles calls of `on_host`.
HOST_IN_XLA = True
# Whether variables hold their values themselves during a step.
STATEFUL = False


def gradient(
    function: Callable[..., tuple[Tensor, Any]], arguments: Sequence[Any]
) -> tuple[tuple[Tensor, Any], list[Any]]:
    """Return `function(*arguments)` and the gradients."""
    positions = tuple(range(len(arguments)))
    value, gradients = jax.value_and_grad(function, positions, has_aux=True)(*arguments)
    return value, list(gradients)


def dense(gradient: Tensor) -> Tensor:
    """Return the gradient: all are dense."""
    return gradient


def pullback(
    function: Callable[..., Tensor], point: Sequence[Any]
) -> tuple[Tensor, Callable[[Tensor], Sequence[Any]]]:
    """Return `function(*point)`, and the map from a cotangent to those in the point."""
    value, pull = jax.vjp(function, *point)
    return value, pull


def batched(function: Callable[..., Any], elements: tuple[Any, ...]) -> Any:
    """Return `function` of every slice of the first axis, in batched operations."""
    return jax.vmap(function)(*elements)


def trace(function: Callable[[Any], Any], argument: Any) -> Graph:
    """Return the graph of `function(argument)`, traced and never run."""
    specs = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), argument)
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(specs)
    made: dict[int, tuple[str, tuple[int, ...]]] = {}
    for equation in closed.jaxpr.eqns:
        parents = tuple(id(v) for v in equation.invars if not hasattr(v, "val"))
        for variable in equation.outvars:
            made[id(variable)] = (equation.primitive.name, parents)
    outputs = tree.pack_sequence_as(shapes, [id(v) for v in closed.jaxpr.outvars])

    def producer(key: Any, alive: Any = closed) -> tuple[str, tuple[int, ...]]:
        return made.get(key, ("", ()))

    return Graph(outputs, producer)


def while_loop(
    more: Callable[..., Tensor], body: Callable[..., Any], state: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Run `lax.while_loop`, or a Python loop where nothing is being traced.

    Outside `jit` every `lax.while_loop` would be compiled again.
    """
    while not isinstance(go := more(*state), jax.core.Tracer):
        if not go:
            return state
        state = tuple(body(*state))
    loop: tuple[Any, ...] = jax.lax.while_loop(
        lambda s: more(*s), lambda s: tuple(body(*s)), state
    )
    return loop


def scan(
    body: Callable[[Tensor, tuple[Tensor, ...]], tuple[Tensor, tuple[Tensor, ...]]],
    start: Tensor,
    inputs: tuple[Tensor, ...],
    dtypes: tuple[Any, ...] = (),
    reverse: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Loop `carry, outputs = body(carry, slices)` along the first axis of `inputs`."""
    carry, outputs = jax.lax.scan(body, start, inputs, reverse=reverse)
    return carry, tuple(outputs)


def cond(predicate: Tensor, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """Run `lax.cond`, or a Python choice where nothing is being traced."""
    if not isinstance(predicate, jax.core.Tracer):
        return yes() if predicate else no()
    return jax.lax.cond(predicate, yes, no)


def eagerly() -> Any:
    """Return a context that does nothing: optimizers are built before a step."""
    return contextlib.nullcontext()


def compiled(function: Callable[..., Any], xla: bool = True) -> Callable[..., Any]:
    """Compile `function` of arrays, once for every set of shapes."""
    return jax.jit(function) if xla else function


def poisson(rate: Tensor, seed: Tensor) -> Tensor:
    """Draw Poisson samples of mean `rate`; `seed` is what a SeedGenerator gives."""
    return jax.random.poisson(seed, rate).astype(rate.dtype)


def run_step(
    model: Any, step: Callable[[Any], Any], state: Any, data: Any
) -> tuple[Any, tuple[list[Tensor], ...]]:
    """Return `step(data)` on the values in `state`, and the new state."""
    groups = _groups(model)
    mapping = [
        pair
        for variables, values in zip(groups, state, strict=True)
        for pair in zip(variables, values, strict=True)
    ]
    with keras.StatelessScope(mapping, collect_losses=True) as scope:
        logs = step(data)
    new = tuple([scope.get_current_value(v) for v in variables] for variables in groups)
    return logs, new


def make_train_function(
    model: Any, make: Callable[..., None], force: bool = False
) -> None:
    """Call `make`, Keras's, around a step in which the new state comes first.

    Keras donates the state to a compiled step that answers `(logs, state)`. On CUDA
    such a step may write an output over a part of the state that it has yet to read
    (jax issue 39625, JAX 0.8 to 0.11 at least). As outputs that come first, the parts
    of the new state take the memory of the same parts of the old one.
    """
    fresh = force or model.train_function is None
    compiled = model.jit_compile and not model.run_eagerly
    nnx = getattr(keras.config, "is_nnx_enabled", bool)()  # not yet in Keras 3.8
    if not (fresh and compiled) or nnx:
        make(force)
        return
    shardings = None
    if keras.distribution.distribution() is not None:
        held = tuple([v.value.sharding for v in group] for group in _groups(model))
        shardings = (held, None)

    def state_first(state: Any, data: Any) -> tuple[Any, Any]:
        logs, state = type(model).train_step(model, state, data)
        return state, logs

    step = jax.jit(state_first, donate_argnums=0, out_shardings=shardings)

    def logs_first(state: Any, data: Any) -> tuple[Any, Any]:
        state, logs = step(state, data)
        return logs, state

    # Keras takes the step as it is from a model that runs eagerly.
    model.train_step, model.run_eagerly = logs_first, True
    try:
        make(force)
    finally:
        del model.train_step
        model.run_eagerly = False


def _groups(model: Any) -> tuple[list[Any], ...]:
    """Return the variables of a step, as Keras orders their values."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def current_trace() -> Any:
    """Return what identifies the trace that runs now."""
    return get_opaque_trace_state(convention="flax")


def everywhere(good: Tensor) -> Tensor:
    """Return `good`: one program runs on all devices."""
    return good


def apply_if(
    good: Tensor, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]
) -> None:
    """Take one step of `optimizer` where `good`, else none, without copying values."""
    changed = [*variables, *optimizer.variables]
    before = [v.value for v in changed]

    def apply() -> list[Any]:
        weights, state = optimizer.stateless_apply(
            before[len(variables) :], gradients, before[: len(variables)]
        )
        return [*weights, *state]

    after = cond(good, apply, lambda: before)
    for variable, value in zip(changed, after, strict=True):
        variable.assign(value)


def on_host(
    function: Callable[..., Any],
    outputs: Sequence[tuple[tuple[int | None, ...], str]],
    *arguments: Tensor,
) -> list[Tensor]:
    """Call a NumPy function, in its place in the order of a training step.

    It takes arrays and returns a list of them; `outputs` are their shapes and dtypes.
    """
    results = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in outputs]
    called = io_callback(function, results, *arguments, ordered=True)
    return list(called)


def solve(a: Tensor, b: Tensor) -> Tensor:
    """Solve `a x = b`."""
    return jax.numpy.linalg.solve(a, b)


def read_rows(variable: Any, index: Tensor) -> Tensor:
    """Return rows of a variable, `(batch, …)`."""
    return variable.value[index]


def write_rows(variable: Any, index: Tensor, rows: Tensor) -> None:
    """Replace rows of a variable."""
    variable.assign(variable.value.at[index].set(rows))


def check_scope(variables: Sequence[Any]) -> None:
    """Do nothing: JAX has no scopes of variables."""


def replicas() -> int:
    """Return 1: JAX shards a single program over its devices."""
    return 1


def sum_over_replicas(values: Sequence[Tensor]) -> list[Tensor]:
    """Return the values: JAX runs a single program over its devices."""
    return list(values)


def assign_all(updates: Sequence[tuple[Any, Tensor]]) -> None:
    """Assign values to variables."""
    for variable, value in updates:
        variable.assign(value)
