"""JAX: gradients and graphs."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import jax
from keras import tree

from keras_lifted.backend.graph import Graph

Tensor = Any


def gradient(
    function: Callable[..., tuple[Tensor, Any]], arguments: Sequence[Any]
) -> tuple[tuple[Tensor, Any], list[Any]]:
    """`function(*arguments)` and the gradients."""
    positions = tuple(range(len(arguments)))
    value, gradients = jax.value_and_grad(function, positions, has_aux=True)(
        *arguments
    )
    return value, list(gradients)


def vector_jacobian(
    function: Callable[[Tensor], Tensor], point: Tensor, cotangent: Tensor
) -> Tensor:
    """`(∂function/∂point)ᵀ cotangent`."""
    return jax.vjp(function, point)[1](cotangent)[0]


def trace(function: Callable[[Any], Any], argument: Any) -> Graph:
    """The graph of `function(argument)`, traced and never run."""
    specs = tree.map_structure(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), argument
    )
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(specs)
    made: dict[int, tuple[str, tuple[int, ...]]] = {}
    for equation in closed.jaxpr.eqns:
        parents = tuple(
            id(v) for v in equation.invars if not hasattr(v, "val")
        )
        for variable in equation.outvars:
            made[id(variable)] = (equation.primitive.name, parents)
    outputs = tree.pack_sequence_as(
        shapes, [id(v) for v in closed.jaxpr.outvars]
    )

    def producer(key: Any, alive: Any = closed) -> tuple[str, tuple[int, ...]]:
        return made.get(key, ("", ()))

    return Graph(outputs, producer)


def while_loop(
    more: Callable[..., Tensor], body: Callable[..., Any], state: tuple[Any, ...]
) -> tuple[Any, ...]:
    """`lax.while_loop`, and a Python loop where nothing is being traced.

    Outside `jit` every `lax.while_loop` would be compiled anew.
    """
    while not isinstance(go := more(*state), jax.core.Tracer):
        if not go:
            return state
        state = tuple(body(*state))
    return jax.lax.while_loop(lambda s: more(*s), lambda s: tuple(body(*s)), state)


def cond(predicate: Tensor, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """`lax.cond`, and a Python choice where nothing is being traced."""
    if not isinstance(predicate, jax.core.Tracer):
        return yes() if predicate else no()
    return jax.lax.cond(predicate, yes, no)


def replicas() -> int:
    """One: JAX shards a single program over its devices."""
    return 1
