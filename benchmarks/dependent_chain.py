"""The longest chain of operations in a compiled program that wait for one another.

On a device that is not filled, a step takes about as long as its longest chain of
operations: each is started once what it reads is there. Here an operation is what XLA
starts as one, a fusion among them; a loop counts its body once for every turn, and
what only names or rearranges tensors counts nothing. A loop whose number of turns is
not known counts once, `loops_of_unknown_length` says how many there are.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

FREE = frozenset(
    "parameter constant tuple get-tuple-element bitcast after-all iota "
    "optimization-barrier".split()
)
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.-]+) = .*?\s([a-z][\w-]*)\((.*)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.-]+) .*\{\s*$")
_CALLED = re.compile(r"(?:body|to_apply|calls|condition)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Chain:
    """What `longest_chain` counts.

    Attributes:
        length: int. Operations on the longest chain.
        loops_of_unknown_length: int. Loops on any chain that count once.
    """

    length: int
    loops_of_unknown_length: int


def longest_chain(program: str) -> Chain:
    """Count the longest chain of dependent operations of a compiled program.

    Args:
        program: str. Its text, `jax.jit(f).lower(...).compile().as_text()`.

    Example:

    >>> import jax, jax.numpy as jnp
    >>> def f(x, w):
    ...     return jax.lax.scan(lambda x, w: (jnp.sin(x @ w), None), x, w)[0]
    >>> shapes = [jax.ShapeDtypeStruct(s, "float32") for s in ((8, 8), (50, 8, 8))]
    >>> text = jax.jit(f).lower(*shapes).compile().as_text()
    >>> 50 <= longest_chain(text).length <= 300
    True
    """
    computations: dict[str, list[tuple[str, str, str]]] = {}
    entry, inside = "", ""
    for line in program.splitlines():
        if found := _COMPUTATION.match(line):
            inside = found[2]
            computations[inside] = []
            entry = inside if found[1] else entry
        elif inside and (found := _INSTRUCTION.match(line)):
            computations[inside].append((found[2], found[3], found[4]))
    unknown: set[str] = set()
    known: dict[str, int] = {}

    def length(name: str) -> int:
        if name not in known:
            ends: dict[str, int] = {}
            for result, operation, rest in computations[name]:
                read = re.findall(r"%?([\w.-]+)", rest.split("), ")[0])
                before = max((ends[each] for each in read if each in ends), default=0)
                ends[result] = before + cost(result, operation, rest)
            known[name] = max(ends.values(), default=0)
        return known[name]

    def cost(result: str, operation: str, rest: str) -> int:
        if operation in FREE:
            return 0
        if operation not in ("while", "call", "conditional"):
            return 1
        called = _CALLED.findall(rest)
        for names in _BRANCHES.findall(rest):
            called += re.findall(r"[\w.-]+", names)
        each = [length(name) for name in called if name in computations]
        if operation != "while":
            return max(each, default=1)
        turns = _TURNS.search(rest)
        if turns is None:
            unknown.add(result)
        return sum(each) * (int(turns[1]) if turns else 1)

    return Chain(length(entry), len(unknown))


def compiled_step(model: Any, x: Any, y: Any) -> str:
    """Compile the training step of a model that has taken one; return its text."""
    import jax

    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    state = tuple([variable.value for variable in group] for group in groups)
    lowered = jax.jit(model.train_step).lower(state, (x, y))
    return str(lowered.compile().as_text())
