"""How the lifted blocks of a model hang together, read off its graph."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import tree

from keras_lifted.backend import trace
from keras_lifted.lifting.scope import Call

Tensor = Any
# run(answer, inputs, trainable) calls the model on `inputs` in a scope of that
# answer, with these values of its trainable variables if there is that argument, and
# returns its outputs; for `find_structure` also what is made of them.
Run = Callable[..., Any]

# Operations that only rearrange a tensor, in TensorFlow and JAX.
_REARRANGE = frozenset(
    "Identity StopGradient Cast Reshape Transpose Squeeze ExpandDims "
    "convert_element_type reshape transpose squeeze expand_dims copy".split()
)


@dataclasses.dataclass(frozen=True)
class Structure:
    """The calls of one pass through a model.

    Attributes:
        calls: the lifted calls, in order of execution: those whose pre-activation
            reads a trainable variable, directly or through another, and that the
            loss reads.
        parents: key -> the keys whose lifted variables its pre-activation
            reads; an empty set where only the model's inputs feed it.
        shapes: key -> shape of its pre-activation, of a stack `(batch, depth, ...,
            units)`; 1 where it is not known.
        final: keys whose output is the model's output. The data term is the
            penalty of the output block, so these are not lifted. A stack is.
        read: keys whose lifted variables the loss reads.
    """

    calls: tuple[Call, ...]
    parents: dict[str, frozenset[str]]
    shapes: dict[str, tuple[int, ...]]
    final: frozenset[str]
    read: frozenset[str] = frozenset()

    @property
    def keys(self) -> list[str]:
        """Keys of the lifted calls."""
        return [call.key for call in self.calls]

    @property
    def widest(self) -> int:
        """The most lifted variables that one block, or the loss, reads."""
        return max([len(p) for p in self.parents.values()] + [len(self.read), 1])

    @property
    def depth(self) -> dict[str, int]:
        """Key -> lifted calls on the longest way to it from the inputs."""
        depth: dict[str, int] = {}
        for key in self.keys:
            depth[key] = 1 + max([depth[p] for p in self.parents[key]], default=-1)
        return depth

    def fed_by_inputs(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return those of the `values`, by key, that no lifted variable can change."""
        within = {call.key for call in self.calls if call.chain is not None}
        return {
            key: z
            for key, z in values.items()
            if not self.parents[key] and key not in within
        }


def find_structure(
    run: Run, inputs: Any, kept: set[str], trainable: Sequence[Tensor] | None = None
) -> Structure:
    """Trace one pass on inputs of these shapes, without running it.

    Blocks whose names are in `kept` are not lifted, nor is what reads none of the
    `trainable` values; None lifts all.
    """
    calls: list[Call] = []
    shapes: dict[str, tuple[int, ...]] = {}

    def probe(argument: Any) -> Any:
        z_of: dict[str, Tensor] = {}
        x_of: dict[str, Tensor] = {}

        def answer(call: Call, z: Tensor) -> Tensor:
            x = call.function(z)
            if call.key.split(":")[0] not in kept:
                x = x * 1  # a node of its own, even where σ is the identity
                calls.append(call)
                shapes[call.key] = _shape(call, z)
                # Weights of a stack are read within the call.
                z_of[call.key] = z if call.chain is None else call.function(z)
                x_of[call.key] = x
                if call.chain is not None:  # never an output; skips lead past it
                    x = x + z if call.chain.residual else x + 0
            return x

        calls.clear()
        shapes.clear()
        outputs, loss = run(answer, *argument)
        return z_of, x_of, tree.flatten(outputs), tree.flatten(loss), argument[1:]

    everything = trainable is None
    graph = trace(probe, (inputs,) if everything else (inputs, list(trainable or ())))
    z_of, x_of, outputs, loss, values = graph.outputs
    values = tree.flatten(values)
    key_of = {node: key for key, node in x_of.items()}
    parents: dict[str, frozenset[str]] = {}
    for key in (call.key for call in calls):  # after those that it reads
        reached = graph.reaches(z_of[key], {*key_of, *values})
        above = frozenset(key_of[n] for n in reached if n in key_of)
        if everything or any(n in values for n in reached) or above & set(parents):
            parents[key] = above & set(parents)
    key_of = {node: key for node, key in key_of.items() if key in parents}
    read = frozenset().union(*parents.values())
    shown = set().union(*(graph.skip(node, _REARRANGE) for node in outputs))
    final = frozenset(
        key for node, key in key_of.items() if node in shown and key not in read
    )
    used = {key_of[n] for part in loss for n in graph.reaches(part, key_of)}
    read_last = frozenset(used - final)
    for call in reversed(calls):
        if call.key in used:
            used |= parents[call.key]
    return Structure(
        tuple(call for call in calls if call.key in used and call.key not in final),
        parents,
        shapes,
        final,
        read_last,
    )


def samples_first(run: Run, inputs: Any, trainable: Sequence[Tensor]) -> set[str]:
    """Return the keys of calls with samples first, as traces of 2 and 3 samples show.

    They are empty where the model takes no such inputs.
    """

    def sizes(rows: int) -> dict[str, int]:
        found: dict[str, int] = {}

        def answer(call: Call, z: Tensor) -> Tensor:
            found[call.key] = z.shape[0]
            return call.function(z)

        def resized(leaf: Any) -> Any:
            if leaf is None:
                return None
            return keras.KerasTensor((rows, *leaf.shape[1:]), leaf.dtype)

        def probe(given: Any) -> Any:
            return tree.flatten(run(answer, given, trainable))

        trace(probe, tree.map_structure(resized, inputs))
        return found

    try:
        two, three = sizes(2), sizes(3)
    except Exception:  # whatever the layers of a user raise
        return set()
    return {key for key in two if two[key] == 2 and three.get(key) == 3}


def _shape(call: Call, z: Tensor) -> tuple[int, ...]:
    shape = tuple(size or 1 for size in z.shape)
    if call.chain is None:
        return shape
    return shape[0], call.chain.depth, *shape[1:]
