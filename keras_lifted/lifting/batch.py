"""One batch of data, and what a sample weighs in the user's loss."""

import dataclasses
from typing import Any, Self

import keras
from keras import ops, tree

from keras_lifted.layers.precision import lifted_real

Tensor = Any


@dataclasses.dataclass(frozen=True)
class Batch:
    """Inputs, targets and sample weights, as Keras unpacks them.

    Attributes:
        x, y, sample_weight: structures of tensors, first axis the batch.
        reductions: how each of the user's losses reduces over samples.
        replicas: copies of the model that share the loss.
        size: the number of samples.
    """

    x: Any
    y: Any
    sample_weight: Any
    reductions: tuple[str | None, ...] = ("sum_over_batch_size",)
    replicas: int = 1

    @property
    def size(self) -> Any:
        """Number of samples, a tensor where it is not known statically."""
        leaf = next(t for t in tree.flatten(self.x) if t is not None)
        return ops.shape(leaf)[0]

    @property
    def scale(self) -> Tensor:
        """`c_i`: the weight of sample i in the loss; a scalar or `(batch,)`.

        With it a sample of weight 2 counts as two samples, and a loss that
        sums instead of averaging only multiplies the energy. With several
        outputs it is the mean over them. A negative weight turns the loss of its
        sample round, not the penalty, so its size counts.
        """
        weights = [w for w in tree.flatten(self.sample_weight) if w is not None]
        if len(weights) not in (1, len(self.reductions)):
            weights = []
        count = max(len(weights), len(self.reductions))
        total: Any = 0.0
        for i in range(count):
            weight = _per_sample(weights[i % len(weights)]) if weights else 1.0
            reduction = self.reductions[i % len(self.reductions)]
            total = total + weight * self._factor(reduction, weight)
        return lifted_real(total / count)

    def _factor(self, reduction: str | None, weight: Any) -> Tensor:
        """Return what a reduction multiplies each sample's loss with."""
        if reduction in ("sum", "none", None):
            return 1.0
        if reduction == "mean_with_sample_weight" and not isinstance(weight, float):
            return 1.0 / (ops.sum(weight) * self.replicas)
        return 1.0 / (lifted_real(self.size) * self.replicas)

    def rows(self, count: int) -> Self:
        """Return `count` samples of this batch, repeated where it is smaller."""
        index = ops.arange(count, dtype="int32") % ops.cast(self.size, "int32")

        def take(tensor: Any) -> Any:
            return None if tensor is None else ops.take(tensor, index, axis=0)

        return dataclasses.replace(
            self,
            x=tree.map_structure(take, self.x),
            y=tree.map_structure(take, self.y),
            sample_weight=None,
            replicas=1,
        )


def reductions_of(loss: Any) -> tuple[str | None, ...]:
    """Return the reduction of every loss that `compile` was given."""
    losses = [entry for entry in tree.flatten(loss) if entry is not None]
    return tuple(
        entry.reduction
        if isinstance(entry, keras.losses.Loss)
        else "sum_over_batch_size"
        for entry in losses
    ) or ("sum_over_batch_size",)


def _per_sample(weight: Tensor) -> Tensor:
    weight = ops.abs(lifted_real(weight))
    axes = tuple(range(1, len(weight.shape)))
    weight = ops.mean(weight, axis=axes) if axes else weight
    # A sample of no weight keeps a trace of one: its updates stay bounded.
    return ops.maximum(weight, 1e-6)
