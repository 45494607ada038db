"""The Bregman penalty of lifted Bregman training."""

from __future__ import annotations

from typing import final

import keras

from keras_lifted.penalties.dual import DualPenalty


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Bregman(DualPenalty):
    """`P(x, z) = F(x) + F*(z) − ⟨x, z⟩`, with `∂P/∂z = σ(z) − x`.

    The activation is never differentiated. The coordinate is the dual variable `v`,
    `x = σ(v)`, in which `P = F*(z) − F*(v) − ⟨σ(v), z − v⟩`.

    Args:
        weight: float or dict. As for `Penalty`. Defaults to None.

    Raises:
        ValueError: If a weight is not positive.

    Source: Wang & Benning, "Lifted Bregman training of neural networks",
    JMLR 24(232), 2023, eq. (8).

    Example:

    >>> import keras_lifted as kl
    >>> kl.penalties.Bregman(weight=10.0).weight
    10.0
    """
