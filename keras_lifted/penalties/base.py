"""The interface of every penalty that ties a lifted variable to its block."""

from __future__ import annotations

import abc
import math
import numbers
from collections.abc import Mapping
from typing import Any

from keras_lifted.layers.map import ProximalMap

Tensor = Any
Weight = float | Mapping[str, float]


class Penalty(abc.ABC):
    """`w · P(x, z)`, zero exactly where `x = σ(z)`.

    The lifted variable is carried by its *carrier* `s`, `x = point(s)`: the
    dual variable where that keeps `x` in the domain of the potential, `x`
    itself where no domain binds it. At the forward pass `s = origin(z)`; an
    update moves it to `s = origin(z) − d`, and `pull(z, d)` is then `∂P/∂z`,
    computed from the displacement `d` so that a small one loses no digits.

    Args:
        weight: the penalty weight `w > 0`: one number, or a dict
            `{activation name: number}` whose key "default" serves the rest.
            Default 10.
            An activation of weight infinity is not lifted: its block is
            differentiated as usual.

    Raises:
        ValueError: if a weight is not positive.
        TypeError: if `weight` is neither a number nor a dict of numbers.
    """

    default_weight = 10.0

    def __init__(self, weight: Weight | None = None) -> None:
        self.weight = _checked(self.default_weight if weight is None else weight)

    def weight_of(self, name: str) -> float:
        """The weight of the activation `name`."""
        if isinstance(self.weight, dict):
            return self.weight.get(
                name, self.weight.get("default", self.default_weight)
            )
        return self.weight

    def check_names(self, names: list[str]) -> None:
        """Raise a ValueError if the weights name an unknown activation."""
        if isinstance(self.weight, dict):
            unknown = sorted(set(self.weight) - set(names) - {"default"})
            if unknown:
                raise ValueError(
                    "Penalty weights are keyed by activation name. Received "
                    f"unknown names: {unknown}. The model's activations are: "
                    f"{names}. Use 'default' for all others."
                )

    def get_config(self) -> dict[str, Any]:
        """Arguments that make this penalty again."""
        return {"weight": self.weight}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Penalty:
        """The inverse of `get_config`."""
        return cls(**config)

    @abc.abstractmethod
    def origin(self, sigma: ProximalMap, z: Tensor) -> Tensor:
        """The carrier of the forward pass: `point(origin(z)) = σ(z)`."""

    @abc.abstractmethod
    def point(self, sigma: ProximalMap, s: Tensor) -> Tensor:
        """The lifted variable `x` that `s` carries."""

    @abc.abstractmethod
    def value(self, sigma: ProximalMap, s: Tensor, z: Tensor) -> Tensor:
        """`P(point(s), z)` of each sample, `(batch,)`."""

    @abc.abstractmethod
    def pull(self, sigma: ProximalMap, z: Tensor, d: Tensor) -> Tensor:
        """`∂P/∂z` at the carrier `origin(z) − d`."""

    @abc.abstractmethod
    def drive(self, sigma: ProximalMap, s: Tensor, z: Tensor, d: Tensor) -> Tensor:
        """`(batch,)`, with the gradient of P in the parameters of `sigma`.

        At `s = origin(z) − d`; like `pull`, it keeps the digits of a small `d`.
        """

    @abc.abstractmethod
    def proximal(
        self,
        sigma: ProximalMap,
        s: Tensor,
        z: Tensor,
        q: Tensor,
        step: Tensor,
    ) -> Tensor:
        """Carrier of `argmin_x P(x, z) + ⟨q, x⟩ + (1/2 step)‖x − point(s)‖²`."""


def _checked(weight: Any) -> float | dict[str, float]:
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
