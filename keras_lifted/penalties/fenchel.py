"""The Fenchel penalty: Bregman gaps as constraints, with multipliers."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.checks import check_number
from keras_lifted.penalties.base import Weight
from keras_lifted.penalties.bregman import Bregman

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Fenchel(Bregman):
    """Constraints `P_l ≤ ε · mean_i ½‖x_l,i‖²`, one multiplier `w_l` per block.

    P is the Bregman penalty, the gap of the Fenchel-Young inequality, and its weights
    are Lagrange multipliers. After each batch, with `g` the mean gap and `t` the
    tolerated one,

        w ← w · exp(ρ (g − t) / (g + t)),

    which is dual ascent in the geometry of positive multipliers. Gap and `½‖x‖²` have
    the same units, so neither the number of units of a block nor their size matters.
    Multipliers stay above a tenth of the first ones, and within what the update
    resolves in float32.

    Args:
        weight: float or dict. The first multipliers `w > 0`, as for `Penalty`; None for
            10. They are the optimizer's variable `lifted.weight`. Defaults to None.
        dual_step: float. `ρ` in [0, 1]; 0 keeps the multipliers. Defaults to 0.05.
        tolerance: float. `ε > 0`, without units: the gap tolerated, relative to
            `½‖x‖²`. 1e-4 is a relative displacement of about 1 %. Defaults to 1e-4.

    Raises:
        ValueError: If a weight, `dual_step` or `tolerance` is out of range.

    Source: Gu, Askari, El Ghaoui, "Fenchel lifted networks", arXiv
    1811.08039, sections 3 and 4; there the ascent is additive.

    Example:

    >>> import keras_lifted as kl
    >>> penalty = kl.penalties.Fenchel(weight=10.0, dual_step=0.5, tolerance=0.1)
    >>> weights = penalty.ascend(10.0, gaps=[0.3, 0.1, 0.0], sizes=1.0)
    >>> [round(float(w), 2) for w in weights]
    [12.84, 10.0, 6.07]
    """

    default_weight = 10.0

    def __init__(
        self,
        weight: Weight | None = None,
        dual_step: float = 0.05,
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__(weight)
        owner = "the Fenchel penalty"
        self.dual_step = check_number(
            "dual_step", dual_step, lambda step: 0.0 <= step <= 1.0, "in [0, 1]", owner
        )
        self.tolerance = check_number(
            "tolerance",
            tolerance,
            lambda gap: 1e-12 <= gap <= 1e12,
            "that is positive, from 1e-12 to 1e12",
            owner,
        )

    def ascend(self, weights: Tensor, gaps: Tensor, sizes: Tensor) -> Tensor:
        gaps, sizes = ops.convert_to_tensor(gaps), ops.convert_to_tensor(sizes)
        tolerated = self.tolerance * sizes
        both = gaps + tolerated
        none = both <= 0  # not lifted, or nothing passes: the multiplier stays
        ratio = (gaps - tolerated) / ops.where(none, 1.0, both)
        growth = ops.exp(self.dual_step * ops.where(none, 0.0, ratio))
        return weights * growth
