"""Proximal networks: the steps of a proximal algorithm, unrolled."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import layers

from keras_lifted.architectures import arguments
from keras_lifted.checks import check_choice, check_count, flag
from keras_lifted.layers import DualSoftThreshold
from keras_lifted.layers.dual_forward_backward import FORWARD_BACKWARD_STEP, dual_step
from keras_lifted.layers.tied_convolution import TiedConvolution
from keras_lifted.models.lifted_model import LiftedModel

Tensor = Any
Steps = list[tuple[TiedConvolution, DualSoftThreshold]]

# As `FORWARD_BACKWARD_STEP`, for the algorithms whose bound is 1.
ACCELERATED_STEP = 0.9


def proximal_network(
    input_shape: Sequence[int | None],
    filters: int = 64,
    steps: int = 20,
    scheme: str = "forward_backward",
    threshold: float = 0.1,
    learnable: bool = True,
    kernel_size: int = 3,
    shared: bool = False,
    cls: Any = LiftedModel,
    name: str | None = None,
) -> Any:
    """Unroll the denoiser `argmin_x ½‖x − z‖² + λ‖L x‖₁` of the input `z`.

    `L_k` is a convolution, `L_kᵀ` its adjoint with the same kernel, and
    `σ_k = prox_{τ g*} = clip(·, −λ_k, λ_k)` with `g = λ_k‖·‖₁`. From `u_0 = 0`, for
    k = 1, …, K:

    * "forward_backward", on the dual: `u_k = σ_k(u_{k−1} − τ_k L_k(L_kᵀu_{k−1} − z))`
      with `τ_k = 1.8/‖L_k‖²`; output `z − L_Kᵀ u_K`.
    * "accelerated" (FISTA): the same from `u_{k−1} + β_k(u_{k−1} − u_{k−2})` in the
      place of `u_{k−1}`, `β_k = (t_{k−1} − 1)/t_k`, `t_1 = 1`,
      `t_k = ½(1 + √(1 + 4t_{k−1}²))`, `τ_k = 0.9/‖L_k‖²`.
    * "averaged": "forward_backward" with one L, `τ = 0.9/‖L‖²`, and the mean
      `z − Lᵀ(u_1 + … + u_K)/K` of the outputs after each step as output. It is firmly
      nonexpansive, as the σ_k are and `τ‖L‖² ≤ 1`.
    * "chambolle_pock", from `x_0 = x_{−1} = z`:
      `u_k = σ_k(u_{k−1} + τ_k L_k(2x_{k−1} − x_{k−2}))`,
      `x_k = ½(x_{k−1} + z − L_kᵀ u_k)`, `τ_k = 0.9/‖L_k‖²`; output `x_K`.

    Every `u_k` is lifted; the rest is affine in the `u_k` for given weights.

    Args:
        input_shape: tuple. The shape of one sample and of the output, `(height, width,
            channels)`; height and width may be None.
        filters: int. The channels of the dual variables `u_k`. Defaults to 64.
        steps: int. `K ≥ 1`. Defaults to 20.
        scheme: str. "forward_backward", "accelerated", "chambolle_pock" or "averaged".
            Defaults to "forward_backward".
        threshold: float. Where every `λ_k ≥ 0` starts, in the unit of `u`. Defaults to
            0.1.
        learnable: bool. Whether the `λ_k` are trained. Defaults to True.
        kernel_size: int. The odd side of the kernels in pixels. Defaults to 3.
        shared: bool. Whether all steps use one `L`: with equal `λ_k` the network then
            is the algorithm itself, and converges as K grows. "averaged" always shares
            it. Defaults to False.
        cls: class. As for `mlp`. Defaults to `kl.LiftedModel`.
        name: str. The name of the model. Defaults to None.

    Returns:
        A model of class `cls`, its activations named "dual_1", …; the layers of the
        `L_k` are `TiedConvolution` and are named "operator_1", ….

    Raises:
        ValueError: If an argument is malformed.

    Source: Wang, Benning & Repetti, arXiv 2408.08742; Beck & Teboulle, SIAM J.
    Imaging Sci. 2(1), 2009; Chambolle & Pock, J. Math. Imaging Vis. 40, 2011.

    Example:

    >>> import keras_lifted as kl
    >>> model = kl.models.proximal_network((None, None, 1), filters=8, steps=3)
    >>> [block.name for block in model.lifted_blocks]
    ['dual_1', 'dual_2', 'dual_3']
    """
    shape = arguments.check_shape(input_shape, 3, free=True)
    count = check_count("steps", steps, "of the unrolled algorithm")
    unroll = SCHEMES[check_choice("scheme", scheme, SCHEMES)]
    shared = flag("proximal_network", "shared", shared) or scheme == "averaged"
    cls = arguments.check_class(cls)
    operators = [
        TiedConvolution(shape[-1], filters, kernel_size, name=f"operator_{k + 1}")
        for k in range(1 if shared else count)
    ]
    sigmas = [
        DualSoftThreshold(threshold, learnable, name=f"dual_{k + 1}")
        for k in range(count)
    ]
    if shared:
        operators = operators * count
    z = keras.Input(shape)
    outputs = unroll(z, list(zip(operators, sigmas, strict=True)))
    return cls(z, outputs, name=name)


def _forward_backward(z: Tensor, steps: Steps) -> Tensor:
    u: Tensor = None
    for operator, sigma in steps:
        u = dual_step(operator, sigma, u, z, FORWARD_BACKWARD_STEP)
    return z - steps[-1][0](u, adjoint=True)


def _averaged(z: Tensor, steps: Steps) -> Tensor:
    duals: list[Tensor] = []
    for operator, sigma in steps:
        u = duals[-1] if duals else None
        duals.append(dual_step(operator, sigma, u, z, ACCELERATED_STEP))
    mean = layers.Average()(duals) if len(duals) > 1 else duals[0]
    return z - steps[-1][0](mean, adjoint=True)


def _accelerated(z: Tensor, steps: Steps) -> Tensor:
    u: Tensor = None
    before: Tensor = None
    t = 1.0
    for operator, sigma in steps:
        ahead = u
        if before is not None:
            t, last = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * t * t)), t
            ahead = u + layers.Rescaling((last - 1.0) / t)(u - before)
        u, before = dual_step(operator, sigma, ahead, z, ACCELERATED_STEP), u
    return z - steps[-1][0](u, adjoint=True)


def _chambolle_pock(z: Tensor, steps: Steps) -> Tensor:
    u: Tensor = None
    x = ahead = z
    for operator, sigma in steps:
        change = operator(ahead, scale=ACCELERATED_STEP)
        u = sigma(change if u is None else u + change)
        target = z - operator(u, adjoint=True)
        x, before = layers.Average()([x, target]), x
        ahead = x + (x - before)
    return x


SCHEMES: dict[str, Callable[[Tensor, Steps], Tensor]] = {
    "forward_backward": _forward_backward,
    "accelerated": _accelerated,
    "averaged": _averaged,
    "chambolle_pock": _chambolle_pock,
}
