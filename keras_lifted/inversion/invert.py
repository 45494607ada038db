"""Inversion of a trained network."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_lifted import penalties
from keras_lifted.checks import check_count
from keras_lifted.inversion import alpha as rules
from keras_lifted.inversion import checks
from keras_lifted.inversion.fidelity import in_range
from keras_lifted.inversion.network import check_information
from keras_lifted.inversion.network import sourced
from keras_lifted.inversion.problem import InverseProblem
from keras_lifted.inversion.result import Inversion
from keras_lifted.inversion.solver import Solver
from keras_lifted.layers.precision import lifted_real
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


def invert(
    network: Any,
    y: Any,
    regularizer: Regularizer,
    steps: int = 1000,
    alpha: float | Sequence[float] | None = None,
    noise: float | Sequence[float] | None = None,
    parameter: str | None = None,
    source: float | None = None,
    penalty: Any = None,
    tolerance: float = 1e-3,
    start: Any = None,
    input_shape: Sequence[int] | None = None,
    out_of_range: str = "raise",
    acceleration: str | None = "nesterov",
    check_every: int = 50,
    jit_compile: bool = True,
    verbose: bool | str = "auto",
) -> Inversion:
    """Inputs `u` whose outputs are `y`: a regularised inverse of the network.

    For a network of one block, `z = W u + b` and `y = σ(z)`, it solves

        min_u  F(y) + F*(z) − ⟨y, z⟩ + alpha · R(u),

    convex, with the gradient `Wᵀ(σ(z) − y)` of the fidelity, by PDHG (see
    `inversion.PrimalDual`). With more blocks every hidden output is a lifted variable
    `x_l`, tied to its block by a penalty:

        min_{u, X}  P_L(y, z_L) + Σ_l w_l P_l(x_l, z_l) + alpha · R(u).

    Each step moves all `x_l` by a proximal step, from the output to the input, and
    `u` by a step of PDHG. No activation is differentiated. It is not convex; steps
    that raise it by a tenth are undone and shortened, and the best point is
    returned. Activations that are no proximal map are differentiated inside their
    block. The network runs in inference mode and does not change.

    All samples are solved at once, each with a step history of its own.

    Args:
        network: a built layer or model with one input and one output.
        y: outputs, `(batch, …)`.
        regularizer: R, from `keras_lifted.regularizers`.
        steps: the most steps.
        alpha: positive factor on R, one or one for each sample; 1 by default.
        noise: standard deviation of y, instead of `alpha`. Alone, it sets `alpha =
            √2 δ/‖v‖` with `δ² = m noise²/2` for m outputs: the error then falls like
            δ in the Bregman distance of R.
        parameter: "discrepancy" chooses the alpha that leaves `‖network(u) − y‖ =
            noise √m`, by repeated inversion.
        source: `‖v‖` with `Wᵀv ∈ ∂R(u)` at the true input; estimated by a first
            inversion if not given.
        penalty: a penalty of `keras_lifted.penalties`, its name or its config;
            `Bregman(1.0)` by default. The output's weighs 1.
        tolerance: stop once the relative residual of the optimality conditions is
            below it in all samples; 0 takes all steps.
        start: inputs to begin with; 0 by default.
        input_shape: shape of one input, where the network does not know it.
        out_of_range: "raise" or "project" values of y outside the closed domain of
            the last activation's potential.
        acceleration: "nesterov", or None for plain PDHG.
        check_every: steps between checks of the objective and residual.
        jit_compile: compile the steps with XLA.
        verbose: True, False, or "auto": show progress after ten seconds.

    Returns:
        An `Inversion`. A warning says so if it did not converge.

    Raises:
        ValueError: if an argument is out of range, y is not finite, has another shape
            than the outputs or leaves the range of the last activation, the network
            has several inputs or outputs, or its outputs depend on no input.

    Sources: Wang & Benning, "A lifted Bregman formulation for the inversion of deep
    neural networks", Front. Appl. Math. Stat. 9, 2023; Wang et al., arXiv 2510.09796.

    Example:

    >>> import keras
    >>> import keras_lifted as kl
    >>> import numpy as np
    >>> layer = keras.layers.Dense(3, activation="relu", kernel_initializer="identity")
    >>> layer.build((None, 3))
    >>> result = kl.invert(layer, [[3.0, 2.0, 0.0]], kl.regularizers.L1(1.0))
    >>> np.round(result.x, 3).tolist(), result.converged
    ([[2.0, 1.0, 0.0]], True)
    """
    regularizer = checks.check_regularizer(regularizer)
    steps = check_count("steps", steps)
    check_every = check_count("check_every", check_every)
    tolerance = checks.check_tolerance(tolerance)
    checks.check_choice("acceleration", acceleration, ("nesterov", None))
    checks.check_choice("out_of_range", out_of_range, ("raise", "project"))
    checks.check_choice("verbose", verbose, ("auto", True, False))
    checks.check_choice("parameter", parameter, ("discrepancy", None))
    data = checks.check_data(y)
    batch = len(data)
    factor, deviation = _strength(alpha, noise, parameter, source, batch)
    inner, shape = sourced(network, data, input_shape)
    begin = lifted_real(checks.check_start(start, (batch, *shape)))
    check_information(inner, begin)
    tie = penalties.Bregman(1.0) if penalty is None else penalties.get(penalty)
    problem = InverseProblem(inner, begin, tie)
    solver = Solver(
        problem,
        regularizer,
        lifted_real(in_range(problem.sigma, data, out_of_range)),
        begin,
        acceleration is not None,
        min(check_every, steps),
        tolerance,
        jit_compile,
        verbose,
    )
    if deviation is not None and parameter is None:
        factor = rules.theorem(solver, deviation, source, steps)
    elif deviation is not None:
        factor = rules.discrepancy(solver, deviation, steps)
    stats = solver.run(factor, steps)
    converged = bool((stats["residual"] <= tolerance).all())
    if not converged and tolerance > 0:
        _warn(stats["residual"], steps, tolerance, bool(problem.hidden))
    return Inversion(
        x=ops.convert_to_numpy(solver.best),
        alpha=np.array(factor),
        iterations=solver.iterations,
        converged=converged,
        history={name: np.array(each) for name, each in solver.history.items()},
        **stats,
    )


def _strength(
    alpha: Any, noise: Any, parameter: str | None, source: Any, batch: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Factor on the regularizer, and noise from which to choose it."""
    if noise is None:
        if parameter is not None or source is not None:
            raise ValueError(
                "`parameter` and `source` choose alpha from `noise`, the standard "
                f"deviation of y; pass it. Received: noise=None, {parameter=}, "
                f"{source=}."
            )
        fix = "the regularizer needs some weight"
        value = 1.0 if alpha is None else alpha
        return checks.check_positive("alpha", value, batch, fix), None
    if alpha is not None:
        raise ValueError(
            "Pass `alpha`, or `noise` from which it is chosen, not both. Received: "
            f"alpha={alpha!r}, noise={noise!r}"
        )
    fix = "for data without noise pass a small `alpha` instead"
    if source is not None:
        checks.check_positive("source", source, 1, "it is the norm of a vector")
    return np.ones(batch), checks.check_positive("noise", noise, batch, fix)


def _warn(residual: np.ndarray, steps: int, tolerance: float, hidden: bool) -> None:
    count = int((residual > tolerance).sum())
    advice = "Take more steps"
    if hidden:
        advice += ", or smaller penalty weights (hidden variables move faster)"
    warnings.warn(
        f"The inversion did not converge in {steps} steps: the relative residual is "
        f"{residual.max():.1e} at worst, above tolerance={tolerance:g} in {count} of "
        f"{residual.size} samples. {advice}, or accept it by a larger `tolerance`; "
        "`history` shows how it went.",
        stacklevel=3,
    )
