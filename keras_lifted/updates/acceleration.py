"""Accelerations of an iteration over lifted variables."""

import abc
from typing import Any, final

from keras import ops

from keras_lifted.checks import check_choice
from keras_lifted.lifting.swept import Lifted

Tensor = Any


class Acceleration(abc.ABC):
    """Where to evaluate next, given the plain step from the current point."""

    def start(self, s: Lifted) -> Any:
        """Return the memory at the beginning and after a restart."""
        return s

    def metric(self, memory: Any) -> Lifted | None:
        """Return the diagonal metric that divides the step sizes, or None."""
        return None

    @abc.abstractmethod
    def extrapolate(
        self, memory: Any, s: Lifted, plain: Lifted, beta: Lifted
    ) -> tuple[Lifted, Any]:
        """Return the next point and memory.

        `s` is the current point, `plain` the step from it without acceleration, `beta`
        is `(1 − √κ)/(1 + √κ)`, κ the inverse condition number of each block.
        """


@final
class Nesterov(Acceleration):
    """`s⁺ = p + β (p − p₋)`, p the plain step."""

    def extrapolate(
        self, memory: Any, s: Lifted, plain: Lifted, beta: Lifted
    ) -> tuple[Lifted, Any]:
        ahead = {key: p + beta[key] * (p - memory[key]) for key, p in plain.items()}
        return ahead, plain


@final
class HeavyBall(Acceleration):
    """`s⁺ = p + β² (s − s₋)`."""

    def extrapolate(
        self, memory: Any, s: Lifted, plain: Lifted, beta: Lifted
    ) -> tuple[Lifted, Any]:
        return _rolled_on(plain, s, memory, beta), s


@final
class Adam(Acceleration):
    """Momentum in a diagonal metric from running squares of the steps.

    The metric is `√v` over its mean of the sample, within [1/4, 4]; the
    proximal step is taken in it. Blocks whose activation couples units keep
    the Euclidean metric, in which their proximal map has a closed form.
    """

    decay = 0.9
    widest = 4.0

    def start(self, s: Lifted) -> Any:
        return s, {key: ops.zeros_like(value) for key, value in s.items()}

    def metric(self, memory: Any) -> Lifted:
        return {key: self._diagonal(v) for key, v in memory[1].items()}

    def extrapolate(
        self, memory: Any, s: Lifted, plain: Lifted, beta: Lifted
    ) -> tuple[Lifted, Any]:
        before, squares = memory
        squares = {
            key: self.decay * v + (1 - self.decay) * ops.square(plain[key] - s[key])
            for key, v in squares.items()
        }
        return _rolled_on(plain, s, before, beta), (s, squares)

    def _diagonal(self, v: Tensor) -> Tensor:
        root = ops.sqrt(v)
        axes = tuple(range(1, len(v.shape)))
        mean = ops.mean(root, axis=axes, keepdims=True)
        ratio = (root + 1e-12) / (mean + 1e-12)
        return ops.clip(ratio, 1.0 / self.widest, self.widest)


def _rolled_on(plain: Lifted, s: Lifted, before: Lifted, beta: Lifted) -> Lifted:
    """Return `p + β² (s − s₋)`."""
    return {
        key: p + ops.square(beta[key]) * (s[key] - before[key])
        for key, p in plain.items()
    }


_NAMES: dict[str, type[Acceleration]] = {
    "nesterov": Nesterov,
    "heavy_ball": HeavyBall,
    "adam": Adam,
}


def get(name: str | None) -> Acceleration | None:
    """Return the acceleration of that name, or raise a ValueError; None for none."""
    name = check_choice("acceleration", name, (None, *_NAMES))
    return None if name is None else _NAMES[name]()
