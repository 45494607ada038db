"""An unrolled proximal network as one layer, whose steps are a stack."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.arguments import Saved
from keras_lifted.checks import check_count, check_kernel_size, flag, non_negative
from keras_lifted.layers.precision import Tensor
from keras_lifted.layers.stack import Stack
from keras_lifted.layers.thresholds import DualSoftThreshold
from keras_lifted.layers.tied_convolution import TiedConvolution

# Step length times ‖L_k‖²: below its bound 2, as power iteration may find too little.
FORWARD_BACKWARD_STEP = 1.8


def dual_step(
    operator: TiedConvolution,
    sigma: DualSoftThreshold,
    u: Tensor | None,
    z: Tensor,
    scale: float,
) -> Tensor:
    """Return `σ(u − τ L(Lᵀu − z))` with `τ = scale/‖L‖²`; None is zero."""
    if u is None:
        return sigma(operator(z, scale=scale))
    residual = z - operator(u, adjoint=True)
    return sigma(u + operator(residual, scale=scale))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class DualForwardBackward(Saved, keras.layers.Layer):
    """`steps` forward-backward steps on the dual of `½‖x − z‖² + λ‖L x‖₁`.

    From `u_0 = 0`, `u_k = σ_k(u_{k−1} − τ_k L_k(L_kᵀ u_{k−1} − z))`; output
    `z − L_Kᵀ u_K`. `L_k` is a `TiedConvolution`, `τ_k = 1.8/‖L_k‖²` and
    `σ_k = clip(·, −λ_k, λ_k)`. The network of `kl.models.proximal_network` with the
    scheme "forward_backward"; all steps but the last are a `Stack`, so that compile
    time does not grow with them.

    Args:
        filters: int. Channels of the dual variables `u_k`.
        steps: int. `K ≥ 2`.
        threshold: float. Where every `λ_k ≥ 0` starts, in the unit of `u`. Defaults
            to 0.1.
        learnable: bool. Whether the `λ_k` are trained. Defaults to True.
        kernel_size: int. The odd side of the kernels in pixels. Defaults to 3.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: `z`, `(batch, height, width, channels)`. The outputs have its shape.

    Raises:
        ValueError: If an argument is malformed.

    Source: Wang, Benning & Repetti, arXiv 2408.08742.

    Example:

    >>> import keras, keras_lifted as kl
    >>> layer = kl.layers.DualForwardBackward(filters=4, steps=10)
    >>> tuple(layer(keras.ops.ones((1, 16, 16, 3))).shape)
    (1, 16, 16, 3)
    """

    def __init__(
        self,
        filters: int,
        steps: int,
        threshold: float = 0.1,
        learnable: bool = True,
        kernel_size: int = 3,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = check_count("filters", filters)
        self.steps = check_count("steps", steps, "of the unrolled algorithm")
        if self.steps < 2:
            raise ValueError(
                "`steps` must be at least 2; a single step is a TiedConvolution with "
                f"a DualSoftThreshold. Received: steps={steps}"
            )
        owner = type(self).__name__
        self.threshold = non_negative(owner, "threshold", threshold)
        self.learnable = flag(owner, "learnable", learnable)
        self.kernel_size = check_kernel_size(kernel_size)
        settings = (self.filters, self.threshold, self.learnable, self.kernel_size)
        first, self.last = (
            DualStep(*settings, dtype=self.dtype_policy) for _ in range(2)
        )
        self.before = Stack(first, self.steps - 1, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        *sizes, channels = input_shape
        self.before.build((*sizes, self.filters + channels))
        self.last.build((*sizes, self.filters + channels))

    def call(self, inputs: Tensor, training: Any = None) -> Tensor:
        zero = ops.repeat(ops.zeros_like(inputs[..., :1]), self.filters, axis=-1)
        both = ops.concatenate([zero, inputs], axis=-1)
        both = self.last(self.before(both, training=training), training=training)
        return inputs - self.last.operator(both[..., : self.filters], adjoint=True)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class DualStep(Saved, keras.layers.Layer):
    """One step of `DualForwardBackward` on `u` and `z`, whose channels are joined."""

    def __init__(
        self,
        filters: int,
        threshold: float,
        learnable: bool,
        kernel_size: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.threshold = threshold
        self.learnable = learnable
        self.kernel_size = kernel_size
        self.sigma = DualSoftThreshold(threshold, learnable, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        *sizes, both = input_shape
        channels, policy = both - self.filters, self.dtype_policy
        self.operator = TiedConvolution(
            channels, self.filters, self.kernel_size, dtype=policy
        )
        self.operator.build((*sizes, channels))
        self.sigma.build((*sizes, self.filters))

    def call(self, inputs: Tensor, training: Any = None) -> Tensor:
        u, z = inputs[..., : self.filters], inputs[..., self.filters :]
        u = dual_step(self.operator, self.sigma, u, z, FORWARD_BACKWARD_STEP)
        return ops.concatenate([u, z], axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape
