"""TensorFlow: what a step does across the replicas of `tf.distribute`."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

Tensor = Any


def everywhere(good: Tensor) -> Tensor:
    """Return whether a flag holds on all replicas."""
    if replicas() == 1:
        return good
    context = tf.distribute.get_replica_context()
    bad = context.all_reduce("SUM", tf.cast(tf.logical_not(good), "float32"))
    return tf.equal(bad, 0.0)


def apply_if(
    good: Tensor, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]
) -> None:
    """Take one step of `optimizer` on all replicas where `good`, else none."""

    def apply(gradients: Any = gradients) -> int:
        optimizer.apply(gradients, variables)
        return 0

    if not tf.distribute.has_strategy():
        tf.cond(good, apply, lambda: 0)
        return

    def merged(strategy: Any, good: Any, gradients: Any) -> None:
        # A branch in a replica may not merge replicas, as `apply` does.
        each = strategy.extended.call_for_each_replica
        first = strategy.experimental_local_results(good)[0]

        def apply_everywhere() -> int:
            each(apply, args=(gradients,))
            return 0

        tf.cond(first, apply_everywhere, lambda: 0)

    tf.distribute.get_replica_context().merge_call(merged, args=(good, gradients))


def check_scope(variables: Sequence[Any]) -> None:
    """Raise a ValueError unless the open `tf.distribute` scope made the variables."""
    strategy = tf.distribute.get_strategy()
    made = strategy.extended.variable_created_in_scope
    strange = [v.path for v in variables if not made(v.value)]
    if strange:
        raise ValueError(
            "Layers, model and `compile` belong in one `with strategy.scope():`, so "
            "that every replica has the variables. Expected: variables made in the "
            f"scope of {type(strategy).__name__}. Received: {len(strange)} made "
            f"outside, such as '{strange[0]}'. Build the layers within the scope."
        )


def replicas() -> int:
    """Return the number of replicas in sync under `tf.distribute`."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def sum_over_replicas(values: Sequence[Tensor]) -> list[Tensor]:
    """Sum over the replicas of `tf.distribute`, each of which calls this."""
    if not tf.distribute.has_strategy():
        return list(values)
    context = tf.distribute.get_replica_context()
    return list(context.all_reduce(tf.distribute.ReduceOp.SUM, list(values)))


def assign_all(updates: Sequence[tuple[Any, Tensor]]) -> None:
    """Assign values to variables, the same ones in every replica."""
    if not tf.distribute.has_strategy():
        for variable, value in updates:
            variable.assign(value)
        return

    def update(strategy: Any, values: Sequence[Tensor]) -> None:
        for (variable, _), value in zip(updates, values, strict=True):
            strategy.extended.update(
                variable.value, lambda each, new: each.assign(new), args=(value,)
            )

    context = tf.distribute.get_replica_context()
    context.merge_call(update, args=([value for _, value in updates],))
