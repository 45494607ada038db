"""Inversion of a trained network."""

from collections.abc import Sequence
from typing import Any

from keras_lifted.inversion.fidelity import Fidelity, LeastSquares
from keras_lifted.inversion.inverter import Inverter, takes_old_names
from keras_lifted.inversion.result import Inversion


@takes_old_names
def invert(
    network: Any,
    y: Any,
    regularizer: Any,
    *,
    alpha: float | Sequence[float] | None = None,
    noise_std: Any = None,
    alpha_rule: str | None = None,
    source: float | None = None,
    max_steps: int = 1000,
    fidelity: Fidelity | None = None,
    penalty: Any = None,
    tolerance: float = 1e-3,
    initial: Any = None,
    input_shape: Sequence[int] | None = None,
    out_of_range: str = "raise",
    acceleration: str | None = "nesterov",
    check_every: int = 50,
    step_factor: float | None = None,
    jit_compile: bool = True,
    verbose: Any = 1,
) -> Inversion:
    """Find inputs `u` whose outputs are `y`: a regularised inverse of the network.

    For a network of one block, `z = W u + b` and `y = σ(z)`, it solves

        min_u  F(y) + F*(z) − ⟨y, z⟩ + alpha · R(u),

    which is convex, by PDHG (see `inversion.PrimalDual`) with the gradient
    `Wᵀ(σ(z) − y)` of the fidelity. With more blocks, or with noise behind σ, it takes
    the same steps with z_L the nested function of u, by its derivative. With a
    `penalty`, every hidden output is a lifted variable `x_l`, tied to its block:

        min_{u, X}  P_L(y, z_L) + Σ_l w_l P_l(x_l, z_l) + alpha · R(u).

    Each step moves all `x_l` by a proximal step, from the output to the input, and
    `u` by a step of PDHG. No activation is differentiated; so up to 150 such steps come
    first where the nested gradient is 0 at the start. The last two problems are not
    convex: steps that raise the objective by a tenth are undone and shortened, and the
    best point is returned. `solver` of the result says what was solved. The network
    runs in inference mode and does not change.

    All samples are solved at once, each with a step history of its own. To invert
    several times, make an `inversion.Inverter`: it compiles once. The earlier names
    `steps`, `noise`, `parameter` and `start` of four arguments are still taken.

    Args:
        network: layer or model. It is built, has one input and one output, and is not
            random.
        y: array. The outputs, `(batch, …)`.
        regularizer: regularizer or str. R, from `keras_lifted.regularizers`, or its
            name, such as "total_variation", for its defaults.
        alpha: float or array. The positive factor on R, one or one for each sample;
            None for 1. Defaults to None.
        noise_std: float or array. The standard deviation of the noise on y, behind the
            last activation, one or one for each sample, instead of `alpha`. Or a map of
            the shape of y, which weights the fidelity by `1/noise_std²`; it may come
            with `alpha`. Defaults to None.
        alpha_rule: str. How `noise_std` sets alpha. "discrepancy", the same as None:
            the alpha that leaves `‖network(u) − y‖ = noise_std √m` for m outputs, by
            repeated inversion. "theorem": `alpha = √2 δ/‖v‖` with `δ² = m
            noise_std²/2`: the error then falls like δ in the Bregman distance of R.
            Defaults to None.
        source: float or array. `‖v‖` with `Wᵀv ∈ ∂R(u)` at the true input, for the
            theorem; None estimates it by a first inversion. Defaults to None.
        max_steps: int. The most steps. Defaults to 1000.
        fidelity: fidelity. How outputs are compared with y: `inversion.LeastSquares()`,
            `Huber()`, `KullbackLeibler()`. None for least squares with `noise_std` (but
            by the theorem), and for the penalty of the last block, convex for one
            block, without. Defaults to None.
        penalty: penalty, its name or config. It makes the problem a lifted one, in
            which the output's weighs 1. None for the convex problem where it is one,
            and else for the nested one. Defaults to None.
        tolerance: float. A sample is done once the relative residual of its optimality
            conditions is below it; 0 takes all steps. Defaults to 1e-3.
        initial: array. The inputs to begin with; None for 0. Defaults to None.
        input_shape: tuple. The shape of one input, where the network does not know it.
            Defaults to None.
        out_of_range: str. Whether to "raise" at values of y outside the closed domain
            of the last activation's potential or to "project" them. Defaults to
            "raise".
        acceleration: str. "nesterov", or None for plain PDHG, which denoisers take
            always. Defaults to "nesterov".
        check_every: int. The steps between checks of the objective and residual.
            Defaults to 50.
        step_factor: float or array. A factor on the step lengths that power iteration
            gives, one or one for each sample. None is 1 for one block, where theory
            asks for it, and 2 with lifted variables. Defaults to None.
        jit_compile: bool. Whether XLA compiles the steps. Defaults to True.
        verbose: int, bool or str. 0 shows nothing; 1, "auto" or True progress after ten
            seconds; 2 a line at each check. Defaults to 1.

    Returns:
        An `Inversion`. A warning names the samples that did not converge.

    Raises:
        ValueError: If an argument is out of range, y is not finite, has another shape
            than the outputs or leaves the range of the last activation, the network
            has several inputs or outputs, or its outputs are random or depend on no
            input.

    Sources: Wang & Benning, "A lifted Bregman formulation for the inversion of deep
    neural networks", Front. Appl. Math. Stat. 9, 2023; Wang et al., arXiv 2510.09796.

    Example:

    >>> import keras, keras_lifted as kl, numpy as np
    >>> layer = keras.layers.Dense(3, activation="relu", kernel_initializer="identity")
    >>> layer.build((None, 3))
    >>> result = kl.invert(layer, [[3.0, 2.0, 0.0]], kl.regularizers.L1(1.0))
    >>> np.round(result.x, 3).tolist(), result.converged
    ([[2.0, 1.0, 0.0]], Flags([ True]))
    """
    by_theorem = alpha_rule == "theorem" or source is not None
    if fidelity is None and noise_std is not None and not by_theorem:
        fidelity = LeastSquares()
    inverter = Inverter(
        network, regularizer, penalty, input_shape, acceleration, jit_compile, fidelity
    )
    return inverter(
        y,
        max_steps,
        alpha,
        noise_std=noise_std,
        alpha_rule=alpha_rule,
        source=source,
        tolerance=tolerance,
        initial=initial,
        out_of_range=out_of_range,
        check_every=check_every,
        step_factor=step_factor,
        verbose=verbose,
    )
