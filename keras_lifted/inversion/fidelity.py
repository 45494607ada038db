"""How far the outputs of a network are from the data."""

import abc
from typing import Any, NamedTuple, final

from keras import ops

from keras_lifted import checks
from keras_lifted.inversion.divergence import bregman, relative_entropy
from keras_lifted.layers.gradients import per_sample, sum_per_sample
from keras_lifted.layers.map import ProximalMap

Tensor = Any


class Data(NamedTuple):
    """What the outputs are compared with.

    Attributes:
        y: data, `(batch, …)`.
        weight: `1/noise_std²` where the noise differs by entry, else 1.
    """

    y: Tensor
    weight: Tensor


class Fidelity(abc.ABC):
    """`D(z)`, convex in the outputs `z` of a network, least where they fit the data.

    The last activation is within the network; where the problem is lifted, `z` is the
    lifted variable behind it, tied to its block by the penalty. A fidelity of one's
    own writes `value`, `gradient` and `curvature`.

    Attributes:
        smooth: whether the gradient is Lipschitz. Otherwise `prox` takes its place,
            and the network must be affine.
        weighted: whether it takes a map of `noise_std`.
        outside: what is said of data that it does not take.
    """

    smooth = True
    weighted = True
    outside = ""

    @abc.abstractmethod
    def value(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        """Return `D(z)` of each sample, `(batch,)`.

        Args:
            y: tensor. The data.
            weight: tensor. `1/noise_std²` where the noise differs by entry, else 1; it
                broadcasts against `y`.
            z: tensor. The outputs.
        """

    @abc.abstractmethod
    def gradient(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        """Return `∇D(z)`, like `z`."""

    def curvature(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return a Lipschitz constant of the gradient of each sample, `(batch,)`."""
        return ops.max(
            ops.broadcast_to(weight, ops.shape(y)), axis=tuple(range(1, len(y.shape)))
        )

    def gap(self, y: Tensor, weight: Tensor, z: Tensor, share: Tensor) -> Tensor:
        """Bound `D(z) + D*(s∇D(z)) − ⟨s∇D(z), z⟩`, `(batch,)`, for s from 0 to 1.

        `(1 − s) D(z)` is, as `D ≥ 0`.
        """
        return (1.0 - share) * self.value(y, weight, z)

    def prox(self, y: Tensor, v: Tensor, step: Tensor) -> Tensor:
        """Return `argmin_z ½‖z − v‖² + step · D(z)`, where it is not smooth."""
        raise NotImplementedError

    def nearest(self, y: Tensor) -> Tensor:
        """The data closest to y that it takes."""
        return y


@final
class Bregman(Fidelity):
    """`F(y) + F*(z) − ⟨y, z⟩` of the last activation, `z` its pre-activation.

    The gradient is `σ(z) − y`. `invert` uses it where no fidelity is named.

    Args:
        sigma: the proximal map.

    Source: Wang & Benning, Front. Appl. Math. Stat. 9, 2023.
    """

    weighted = False

    def __init__(self, sigma: ProximalMap) -> None:
        self.sigma = sigma
        name = type(sigma.activation).__name__
        self.outside = f"that the network's last activation, {name}, never takes"

    def nearest(self, y: Tensor) -> Tensor:
        """By a proximal step so short that it only projects onto the domain."""
        terms = self.sigma.activation.potential_terms(y, *self.sigma.parameters)
        inside = self.sigma.prox(y, ops.convert_to_tensor(1e-6, dtype=y.dtype))
        return ops.where(ops.isfinite(terms), y, inside)

    def value(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        return bregman(self.sigma, y, z)

    def gradient(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        return self.sigma(z) - y

    def gap(self, y: Tensor, weight: Tensor, z: Tensor, share: Tensor) -> Tensor:
        return self.value(y + per_sample(share, y) * (self.sigma(z) - y), weight, z)


@final
class LeastSquares(Fidelity):
    """`½ Σ (z − y)²`, or `½ Σ ((z − y)/noise_std)²` where `invert` is given a map.

    It suits Gaussian noise on the outputs, behind the last activation.

    Example:

    >>> import keras, keras_lifted as kl
    >>> layer = keras.layers.Dense(2, kernel_initializer="identity")
    >>> layer.build((None, 2))
    >>> result = kl.invert(
    ...     layer,
    ...     [[1.0, 1.0]],
    ...     kl.regularizers.Tikhonov(),
    ...     alpha=1.0,
    ...     noise_std=[[1.0, 0.5]],
    ... )
    >>> result.x.round(3)
    array([[0.5, 0.8]], dtype=float32)
    """

    def value(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        return 0.5 * sum_per_sample(weight * ops.square(z - y))

    def gradient(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        return weight * (z - y)

    def gap(self, y: Tensor, weight: Tensor, z: Tensor, share: Tensor) -> Tensor:
        return ops.square(1.0 - share) * self.value(y, weight, z)


@final
class Huber(Fidelity):
    """`Σ h(z − y)`, `h(t) = t²/2` up to `delta` and `delta (|t| − delta/2)` beyond.

    It suits data with outliers.

    Args:
        delta: float. A positive bound in the unit of y; of `y/noise_std` for a map of
            noise. Defaults to 1.0.

    Raises:
        ValueError: If `delta` is not positive and finite.

    Source: Huber, "Robust estimation of a location parameter", 1964.

    Example:

    >>> import keras, keras_lifted as kl
    >>> layer = keras.layers.Dense(1, kernel_initializer="ones")
    >>> layer.build((None, 1))
    >>> huber = kl.inversion.Huber(0.1)
    >>> kl.invert(layer, [[9.0]], kl.regularizers.Tikhonov(), fidelity=huber).x.round(3)
    array([[0.1]], dtype=float32)
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = checks.positive("Huber", "delta", delta)

    def value(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        t = ops.sqrt(weight) * ops.abs(z - y)
        inner = ops.minimum(t, self.delta)
        return sum_per_sample(inner * (t - 0.5 * inner))

    def gradient(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        root = ops.sqrt(weight)
        return root * ops.clip(root * (z - y), -self.delta, self.delta)


@final
class KullbackLeibler(Fidelity):
    """`Σ z + b − y + y log(y/(z + b))`: minus the log-likelihood of Poisson counts.

    `y ≥ 0` are the counts and `z + b` what is expected of them; it is `+∞` where that
    is negative. As it is not smooth it enters by its proximal map, and the network must
    be affine: a blur, a mask, a projection.

    Args:
        background: float. `b ≥ 0`, the expected counts that do not come from the image.
            Defaults to 0.0.

    Raises:
        ValueError: If `background` is negative or not finite.

    Source: Csiszár, 1991; Chambolle & Pock, 2011.

    Example:

    >>> import keras, keras_lifted as kl
    >>> layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> layer.build((None, 1))
    >>> counts = kl.inversion.KullbackLeibler()
    >>> known = kl.regularizers.L1(1.0) + kl.regularizers.NonNegative()
    >>> kl.invert(layer, [[9.0]], known, fidelity=counts).x.round(2)
    array([[4.5]], dtype=float32)
    """

    smooth = False
    weighted = False
    outside = "below 0, which are no counts"

    def __init__(self, background: float = 0.0) -> None:
        self.background = checks.non_negative(
            "KullbackLeibler", "background", background
        )

    def value(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        return sum_per_sample(relative_entropy(y, z + self.background))

    def gradient(self, y: Tensor, weight: Tensor, z: Tensor) -> Tensor:
        return 1.0 - y / (z + self.background)

    def curvature(self, y: Tensor, weight: Tensor) -> Tensor:
        """Return `1/mean(y)`, its size, as it has no bound."""
        mean = ops.mean(y, axis=tuple(range(1, len(y.shape))))
        return 1.0 / ops.maximum(mean + self.background, 1e-6)

    def nearest(self, y: Tensor) -> Tensor:
        return ops.maximum(y, 0.0)

    def prox(self, y: Tensor, v: Tensor, step: Tensor) -> Tensor:
        half = 0.5 * (v + self.background - step)
        root = ops.sqrt(ops.square(half) + step * y)
        # Of half + root, the form that does not cancel.
        small = step * y / ops.maximum(root - half, 1e-30)
        return ops.where(half > 0, half + root, small) - self.background
