"""The interface of every penalty that ties a lifted variable to its block."""

import abc
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.backend import pullback
from keras_lifted.layers.map import ProximalMap

Tensor = Any
Weight = float | Mapping[str, float]


class Penalty(Saved, abc.ABC):
    """`w · P(x, z)`, zero exactly where `x = σ(z)`.

    An update moves the *coordinate* `s` of a lifted variable, `x = point(s)`: the dual
    variable where that keeps `x` in the domain of the potential, else `x` itself. At
    the forward pass `s = origin(z)`; at `s = origin(z) − d`, `z_gradient(z, d)` is
    `∂P/∂z`, computed from the displacement `d` so that a small one loses no digits.

    A subclass writes `value`; the other methods have defaults for `s = x` and a P whose
    gradient in x is 1-Lipschitz. Override `z_gradient` and `parameter_value`, which
    include the gradients of `z_terms`, where a formula keeps the digits of a small `d`,
    and `proximal` where there is a closed form.

    Attributes:
        default_weight: float. The weight where none is given; None for the update's.
        largest_weight: float. Above it float32 loses the gradient of this penalty.
        contrastive: bool. Whether the weight gradients of the free phase, without the
            loss, are subtracted from those of the clamped phase, with it.
        needs_proximal: bool. Whether it is defined for proximal maps only; if not,
            every activation of a model is lifted.

    Args:
        weight: float or dict. The penalty weight `w > 0`, or `{activation name:
            weight}` whose key "default" serves all others. None: 10 where the update
            takes several steps; a sweep chooses one from the data (`Sweep`). An
            activation of weight infinity is not lifted: its block is differentiated as
            usual. Defaults to None.

    Raises:
        ValueError: If a weight is not positive.
        TypeError: If `weight` is neither a number nor a dict of numbers.
    """

    default_weight: float | None = None
    largest_weight = float("inf")
    contrastive = False
    needs_proximal = True

    def __init__(self, weight: Weight | None = None) -> None:
        self.weight = _checked(self.default_weight if weight is None else weight)

    def given(self, name: str) -> float | None:
        """Return the weight that was given for the activation `name`, if one was."""
        if isinstance(self.weight, dict):
            return self.weight.get(
                name, self.weight.get("default", self.default_weight)
            )
        return self.weight

    def weight_of(self, name: str, default: float = 10.0) -> float:
        """Return the weight of the activation `name`, if given, or `default`."""
        given = self.given(name)
        return default if given is None else given

    def check_names(self, names: list[str]) -> None:
        """Raise a ValueError if the weights name an unknown activation."""
        if isinstance(self.weight, dict):
            check_names(self.weight, names)

    @abc.abstractmethod
    def value(self, sigma: ProximalMap, s: Tensor, z: Tensor) -> Tensor:
        """Return `P(point(s), z)` of each sample, `(batch,)`."""

    def origin(self, sigma: ProximalMap, z: Tensor) -> Tensor:
        """Return the coordinate of the forward pass: `point(origin(z)) = σ(z)`."""
        return sigma(z)

    def point(self, sigma: ProximalMap, s: Tensor) -> Tensor:
        """Return the lifted variable `x` of the coordinate `s`."""
        return s

    def z_gradient(self, sigma: ProximalMap, z: Tensor, d: Tensor) -> Tensor:
        """Return `∂P/∂z` at the coordinate `origin(z) − d`."""
        s = self.origin(sigma, z) - d
        return _slope(lambda z: self.value(sigma, s, z), z)

    def parameter_value(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, d: Tensor
    ) -> Tensor:
        """Return `(batch,)`, with the gradient of P in the parameters of `sigma`."""
        return self.value(sigma, s, z)

    def proximal(
        self, sigma: ProximalMap, s: Tensor, z: Tensor, q: Tensor, step: Tensor
    ) -> Tensor:
        """Carry `argmin_x P(x, z) + ⟨q, x⟩ + (1/2 step)‖x − point(s)‖²`.

        The default minimises a quadratic of curvature 1 that lies above P.
        """
        slope = _slope(lambda s: self.value(sigma, s, z), s)
        return s - step / (1.0 + step) * (slope + q)

    def z_terms(self, sigma: ProximalMap, z: Tensor) -> Tensor | None:
        """Return `(batch,)`, terms in z alone of a `contrastive` penalty, or None."""
        return None

    @property
    def ascends(self) -> bool:
        """Whether it moves its weights."""
        return type(self).ascend is not Penalty.ascend

    def ascend(self, weights: Tensor, gaps: Tensor, sizes: Tensor) -> Tensor:
        """Return penalty weights of the next batch, `(blocks,)`; the same by default.

        Args:
            weights: tensor, `(blocks,)`. Those of this batch.
            gaps: tensor, `(blocks,)`. `mean_i P_l` of each block, 0 where it is not
                lifted.
            sizes: tensor, `(blocks,)`. `mean_i ½‖x_l,i‖²` of each block, in the units
                of the gap.
        """
        return weights


def check_names(
    weights: Mapping[str, Any], names: list[str], default: bool = True
) -> None:
    """Raise a ValueError if the keys of `weights` are not among the `names`.

    `default` says whether the key "default" may serve all others.
    """
    unknown = sorted(set(weights) - set(names) - ({"default"} if default else set()))
    if unknown:
        raise ValueError(
            "Penalty weights are keyed by activation name. Received unknown names: "
            f"{unknown}. The model's activations are: {names}."
            + (" Use 'default' for all others." if default else "")
        )


def _slope(function: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Return the gradient of the sum of `function` at `point`."""
    value, pull = pullback(function, [point])
    return pull(ops.ones_like(value))[0]


def _checked(weight: Any) -> float | dict[str, float] | None:
    if weight is None:
        return None
    if isinstance(weight, Mapping):
        return {str(k): _positive(v, f" of '{k}'") for k, v in weight.items()}
    return _positive(weight, "")


def _positive(weight: Any, whose: str) -> float:
    if isinstance(weight, bool) or not isinstance(weight, numbers.Real):
        raise TypeError(
            f"The penalty weight{whose} must be a number or a dict "
            f"{{activation name: number}}. Received: {weight!r}"
        )
    if math.isnan(weight) or weight <= 0:
        raise ValueError(
            f"The penalty weight{whose} must be positive (infinity: not "
            f"lifted). Received: weight={weight}"
        )
    return float(weight)
