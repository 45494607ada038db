"""A network ready to be inverted, again and again."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any
from typing import final

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
from keras_lifted.inversion.steps import Steps
from keras_lifted.layers.precision import lifted_real
from keras_lifted.regularizers.base import Regularizer

# Factor on steps through hidden blocks: where power iteration takes all units for
# active, some are silent. Samples for which it is too much shorten their steps.
_LONG = 2.0


@final
class Inverter:
    """`invert` in two parts: what is compiled, and what changes from call to call.

    The first call with data of some shape compiles; later ones of that shape run at
    once, whatever their y, alpha, start or steps. It reads the network's weights at
    every call. All arguments are those of `invert`, which is one call of a new one.

    Args:
        network: a built layer or model with one input and one output.
        regularizer: R, from `keras_lifted.regularizers`, with its weights.
        penalty: ties hidden lifted variables to their blocks; `Bregman(1.0)` by
            default.
        input_shape: shape of one input, where the network does not know it.
        acceleration: "nesterov", or None.
        jit_compile: compile the steps with XLA.

    Raises:
        ValueError: as `invert` does, for these arguments here and for the others when
            called.

    Example: a path of alphas, each from the last one's result.

    >>> import keras
    >>> import keras_lifted as kl
    >>> layer = keras.layers.Dense(3, activation="relu", kernel_initializer="identity")
    >>> layer.build((None, 3))
    >>> inverter = kl.inversion.Inverter(layer, kl.regularizers.L1())
    >>> x = None
    >>> for alpha in (2.0, 1.0, 0.5):
    ...     x = inverter([[3.0, 2.0, 0.0]], alpha=alpha, start=x).x
    ...     print(x.round(3).tolist())
    [[1.0, 0.0, 0.0]]
    [[2.0, 1.0, 0.0]]
    [[2.5, 1.5, 0.0]]
    """

    def __init__(
        self,
        network: Any,
        regularizer: Regularizer,
        penalty: Any = None,
        input_shape: Sequence[int] | None = None,
        acceleration: str | None = "nesterov",
        jit_compile: bool = True,
    ) -> None:
        regularizer = checks.check_regularizer(regularizer)
        checks.check_choice("acceleration", acceleration, ("nesterov", None))
        self._network, self._inputs, self._outputs = sourced(network, input_shape)
        tie = penalties.Bregman(1.0) if penalty is None else penalties.get(penalty)
        one = ops.zeros((1, *self._inputs), lifted_real(0.0).dtype)
        problem = InverseProblem(self._network, one, tie)
        accelerated = acceleration is not None
        self._steps = Steps(problem, regularizer, accelerated, jit_compile)

    @property
    def default_step_factor(self) -> float:
        """`step_factor` where none is given: 2 with hidden lifted variables, else 1.

        Blocks of infinite weight are not lifted.
        """
        return _LONG if self._steps.problem.hidden else 1.0

    def __call__(
        self,
        y: Any,
        steps: int = 1000,
        alpha: float | Sequence[float] | None = None,
        *,
        noise: float | Sequence[float] | None = None,
        parameter: str | None = None,
        source: float | None = None,
        tolerance: float = 1e-3,
        start: Any = None,
        out_of_range: str = "raise",
        check_every: int = 50,
        step_factor: float | None = None,
        verbose: bool | str = "auto",
    ) -> Inversion:
        """Inputs whose outputs are `y`; see `invert`."""
        steps = check_count("steps", steps)
        check_every = check_count("check_every", check_every)
        tolerance = checks.check_tolerance(tolerance)
        checks.check_choice("out_of_range", out_of_range, ("raise", "project"))
        checks.check_choice("verbose", verbose, ("auto", True, False))
        checks.check_choice("parameter", parameter, ("discrepancy", None))
        data = checks.check_data(y, self._outputs)
        batch = len(data)
        factor, deviation = _strength(alpha, noise, parameter, source, batch)
        begin = lifted_real(checks.check_start(start, (batch, *self._inputs)))
        check_information(self._network, begin)
        problem = self._steps.problem
        if step_factor is None:
            step_factor = self.default_step_factor
        advice = "1 is what power iteration gives"
        length = checks.check_positive("step_factor", step_factor, batch, advice)
        solver = Solver(
            self._steps,
            lifted_real(in_range(problem.sigma, data, out_of_range)),
            begin,
            min(check_every, steps),
            tolerance,
            verbose,
            length,
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
