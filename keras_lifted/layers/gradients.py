"""Give a function the gradient that theory says it has."""

from collections.abc import Callable
from typing import Any

from keras import ops

Tensor = Any


def sum_per_sample(terms: Tensor) -> Tensor:
    """Sum `(batch, ...)` over everything but the batch: `(batch,)`."""
    axes = tuple(range(1, len(terms.shape)))
    return ops.sum(terms, axis=axes) if axes else terms


def per_sample(vector: Tensor, like: Tensor) -> Tensor:
    """Reshape `(batch,)`, or a scalar, to broadcast against `like`."""
    return ops.reshape(vector, (-1,) + (1,) * (len(like.shape) - 1))


def per_sample_antiderivative(
    terms: Callable[[Tensor], Tensor],
    gradient: Callable[[Tensor], Tensor],
    z: Tensor,
) -> Tensor:
    """Return `sum_per_sample(terms(z))`, differentiated as `gradient(z)`.

    Autodiff of `terms` would lose digits, or give NaN where a branch not taken is
    singular. `gradient` may close over no variable.
    """

    def function(z: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
        def pull_back(*upstream: Tensor) -> Tensor:
            return per_sample(upstream[0], z) * gradient(z)

        return sum_per_sample(terms(z)), pull_back

    return ops.custom_gradient(function)(z)
