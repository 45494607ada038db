"""A denoising network in the place of a proximal map: plug-and-play."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.layers.formulas import norm
from keras_lifted.layers.gradients import sum_per_sample
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class Denoiser(Regularizer):
    """A prior in the form of a network `N` that removes noise: plug-and-play.

    `invert` looks for a fixed point `u = N(u − ∇f(u)/L)` of the steps

        u⁺ = N(u − τ ∇f(u)),   τ = 1/L,

    f the fidelity with an L-Lipschitz gradient. There is no objective but the
    fidelity, no `alpha` (the strength of the network takes its place) and no
    certificate; `residual` is `L ‖u⁺ − u‖/‖∇f(u)‖`. Further regularizers may be
    added, whose weights count.

    If N is firmly nonexpansive, `‖N(a) − N(b)‖² ≤ ⟨N(a) − N(b), a − b⟩`, f is convex
    and a fixed point exists, then the steps converge to one, and `‖u⁺ − u‖` never
    grows. `kl.models.proximal_network(scheme="averaged")` is so by construction;
    `expansion` measures others. A network that is not may do well, or diverge.

    Args:
        network: layer or model. It maps images to images of the same shape, and runs in
            inference mode.

    Raises:
        ValueError: If `network` is not a Keras layer.

    Source: Venkatakrishnan, Bouman, Wohlberg, "Plug-and-play priors for model based
    reconstruction", 2013; Ryu et al., ICML 2019; Krasnosel'skii, 1955; Mann, 1953.

    Example:

    >>> import keras_lifted as kl, numpy as np
    >>> blur = kl.imaging.GaussianBlur(1.0)
    >>> prior = kl.regularizers.Denoiser(kl.imaging.GaussianBlur(0.5))
    >>> y = np.ones((1, 9, 9, 1), "float32")
    >>> result = kl.invert(blur, y, prior, input_shape=(9, 9, 1))
    >>> bool(np.abs(result.x - 1.0).max() < 0.01)
    True
    """

    valued = False

    def __init__(self, network: Any) -> None:
        super().__init__()
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(
                "Denoiser takes a Keras layer or model from images to images. "
                f"Received: {type(network).__name__}."
            )
        self.network = network

    def value(self, v: Tensor) -> Tensor:
        """Return 0: a denoiser has no value."""
        return sum_per_sample(ops.zeros_like(v))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """Return `N(v)`, whatever the step."""
        return ops.cast(self.network(v, training=False), v.dtype)

    @property
    def variables(self) -> list[Any]:
        return list(self.network.variables)

    def __mul__(self, factor: float) -> Regularizer:
        raise ValueError(
            "A Denoiser has no weight: its strength is that of the noise for which "
            f"the network was trained. Received: the factor {factor!r}."
        )

    def expansion(self, images: Tensor, iterations: int = 30) -> Tensor:
        """Estimate the largest `‖2(N(a) − N(b)) − (a − b)‖/‖a − b‖` near images.

        At most 1 for a firmly nonexpansive network. Power iteration, by finite
        differences, of differences that grow: a lower bound of the largest.

        Args:
            images: array. `(batch, height, width, channels)`.
            iterations: int. The steps of the power iteration, from noise. Defaults to
                30.
        """
        images = ops.convert_to_tensor(images)
        size = ops.maximum(1e-2 * norm(images, None), 1e-8)
        base = self.prox(images, 1.0)
        d = keras.random.normal(ops.shape(images), dtype=images.dtype, seed=0)
        largest = ops.zeros_like(size)
        for _ in range(iterations):
            d = d * (size / ops.maximum(norm(d, None), 1e-30))
            d = 2.0 * (self.prox(images + d, 1.0) - base) - d
            largest = ops.maximum(largest, norm(d, None) / size)
        return sum_per_sample(largest)
