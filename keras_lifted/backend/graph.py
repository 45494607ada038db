"""A dataflow graph, whatever framework it came from."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable
from typing import Any

Node = Hashable


@dataclasses.dataclass(frozen=True)
class Graph:
    """What `trace` returns: outputs as nodes, and how to walk up from them.

    Attributes:
        outputs: what the function returned, with a node for every tensor.
        producer: node -> (name of the operation, nodes it reads); nodes that
            no operation produced map to ("", ()).
    """

    outputs: Any
    producer: Callable[[Node], tuple[str, tuple[Node, ...]]]

    def reaches(self, start: Node, goals: Iterable[Node]) -> set[Node]:
        """Return the goals that `start` is or depends on, passing no other goal."""
        goals = set(goals)
        found: set[Node] = set()
        seen: set[Node] = set()
        stack = [start]
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in goals:
                found.add(node)
            else:
                stack.extend(self.producer(node)[1])
        return found

    def skip(self, node: Node, operations: frozenset[str]) -> set[Node]:
        """Return `node` and what it is a mere rearrangement of, by these operations."""
        passed = {node}
        while True:
            name, parents = self.producer(node)
            if name not in operations or not parents:
                return passed
            node = parents[0]
            passed.add(node)
