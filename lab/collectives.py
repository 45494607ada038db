"""What a compiled step sends between devices, read off its HLO text."""

from __future__ import annotations

import functools
import math
import re
from typing import NamedTuple

BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "f64": 8, "s64": 8}

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_COLLECTIVE = re.compile(
    r"= (.+?) (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)"
    r"(-start)?\("
)
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
_WHILE = re.compile(r" while\(.*body=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count":\{"n":"(\d+)"')
_CALLED = re.compile(
    r"(?:to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Traffic(NamedTuple):
    """Collective operations of one step.

    Attributes:
        operations: how many are executed.
        bytes: what each device sends, in the usual ring algorithms.
    """

    operations: float = 0
    bytes: float = 0

    def plus(self, other: Traffic, times: int = 1) -> Traffic:
        """The sum of this and `times` times the other."""
        return Traffic(
            self.operations + times * other.operations, self.bytes + times * other.bytes
        )


def traffic(hlo: str, devices: int) -> Traffic:
    """The collectives that one run of a compiled program executes.

    Args:
        hlo: `jax.stages.Compiled.as_text()`.
        devices: over which each collective runs.

    Raises:
        ValueError: if a loop with collectives does not state how often it runs, or
            if collectives are asynchronous, which is not read.
    """
    entry, lines = _computations(hlo)

    @functools.cache
    def of(name: str) -> Traffic:
        total = Traffic()
        for line in lines.get(name, ()):
            found = _COLLECTIVE.search(line)
            if found:
                if found[3]:
                    raise ValueError(
                        f"Expected {found[2]}. Received: {found[2]}-start."
                    )
                sent = _sent(found[2], _size(found[1]), devices)
                total = total.plus(Traffic(1, sent))
                continue
            loop = _WHILE.search(line)
            if loop:
                body, trips = of(loop[1]), _TRIPS.search(line)
                if body.operations and not trips:
                    raise ValueError(f"No trip count is known of the loop {loop[1]}.")
                total = total.plus(body, int(trips[1]) if trips else 0)
                continue
            branches = _BRANCHES.search(line)
            names = branches[1].replace("%", "").split(", ") if branches else []
            for called in (*names, *_CALLED.findall(line)):
                total = total.plus(of(called))
        return total

    return of(entry)


def _computations(hlo: str) -> tuple[str, dict[str, list[str]]]:
    """The name of the entry, and the lines of every computation."""
    entry, current, lines = "", "", {}
    for line in hlo.splitlines():
        head = _COMPUTATION.match(line)
        if head:
            current = head[2]
            lines[current] = []
            entry = current if head[1] else entry
        elif current:
            lines[current].append(line)
    return entry, lines


def _size(shapes: str) -> int:
    """Bytes of the results, one shape or a tuple of them."""
    return sum(
        BYTES.get(kind, 4) * math.prod(int(n) for n in sides.split(",") if n)
        for kind, sides in _SHAPE.findall(shapes)
    )


def _sent(kind: str, size: int, devices: int) -> float:
    """Bytes that each device sends where the result on each has `size` bytes."""
    share = (devices - 1) / devices
    times = {
        "all-gather": share,
        "all-to-all": share,
        "all-reduce": 2 * share,
        "reduce-scatter": devices - 1,
        "collective-permute": 1,
    }
    return size * times[kind]
