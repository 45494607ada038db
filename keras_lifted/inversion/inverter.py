"""A network ready to be inverted, again and again."""

import contextlib
import functools
import hashlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, final

import numpy as np
from keras import ops

from keras_lifted import penalties, regularizers
from keras_lifted.checks import check_choice, check_count, check_number, resolve
from keras_lifted.inversion import checks
from keras_lifted.inversion.alpha import discrepancy, first_of, strength, theorem
from keras_lifted.inversion.fidelity import Data, Fidelity
from keras_lifted.inversion.network import Sourced, check_outputs
from keras_lifted.inversion.primal_dual import norm
from keras_lifted.inversion.problem import InverseProblem
from keras_lifted.inversion.result import Flags, Inversion
from keras_lifted.inversion.solver import Solver, Stats
from keras_lifted.inversion.steps import Steps

P = ParamSpec("P")

# Factor on steps through hidden blocks: where power iteration takes all units for
# active, some are silent. Samples for which it is too much shorten their steps.
_LONG = 2.0
# Lifted steps before nested ones, where these have no gradient at the start.
_BEGIN = 150
# What arguments were called -> what they are called.
_OLD = {
    "steps": "max_steps",
    "noise": "noise_std",
    "parameter": "alpha_rule",
    "start": "initial",
}


def takes_old_names(function: Callable[P, Inversion]) -> Callable[P, Inversion]:
    """Let a function take arguments by their earlier names too."""

    @functools.wraps(function)
    def renamed(*arguments: P.args, **named: P.kwargs) -> Inversion:
        new: Any = {_OLD.get(name, name): value for name, value in named.items()}
        return function(*arguments, **new)

    return renamed


@final
class Inverter:
    """A compiled `invert`, for several calls with one network.

    The first call with data of some shape compiles; later ones of that shape run at
    once, whatever their y, alpha, start or steps. It reads the network's weights at
    every call, and measures its norm again where they have changed. Its arguments are
    those of `invert`, with one difference: where `noise_std` is given, `invert`
    compares outputs by least squares. An `Inverter` keeps the fidelity it was made
    with, so pass it `fidelity=kl.inversion.LeastSquares()`.

    Args:
        network: layer or model. It is built and has one input and one output.
        regularizer: regularizer. R, from `keras_lifted.regularizers`, with its weights.
        penalty: penalty, its name or config. As for `invert`. Defaults to None.
        input_shape: tuple. The shape of one input, where the network does not know it.
            Defaults to None.
        acceleration: str. "nesterov", or None. Defaults to "nesterov".
        jit_compile: bool. Whether XLA compiles the steps. Defaults to True.
        fidelity: fidelity. How outputs are compared with y; None for the penalty of the
            last block. Defaults to None.

    Raises:
        ValueError: As `invert` does, for these arguments here and for the others when
            called.

    Example: a path of alphas, each from the last one's result.

    >>> import keras, keras_lifted as kl
    >>> layer = keras.layers.Dense(3, activation="relu", kernel_initializer="identity")
    >>> layer.build((None, 3))
    >>> inverter = kl.inversion.Inverter(layer, kl.regularizers.L1())
    >>> x = None
    >>> for alpha in (2.0, 1.0, 0.5):
    ...     x = inverter([[3.0, 2.0, 0.0]], alpha=alpha, initial=x).x
    ...     print(x.round(3).tolist())
    [[1.0, 0.0, 0.0]]
    [[2.0, 1.0, 0.0]]
    [[2.5, 1.5, 0.0]]
    """

    def __init__(
        self,
        network: Any,
        regularizer: Any,
        penalty: Any = None,
        input_shape: Sequence[int] | None = None,
        acceleration: str | None = "nesterov",
        jit_compile: bool = True,
        fidelity: Fidelity | None = None,
    ) -> None:
        self._network = network = Sourced(network, input_shape)
        self._regularizer = regularizer = regularizers.get(regularizer)
        check_choice("acceleration", acceleration, ("nesterov", None))
        if fidelity is not None:
            expected = "`fidelity` must be one of keras_lifted.inversion, or None"
            fidelity = resolve(fidelity, Fidelity, {}, expected)
        one = ops.zeros((1, *network.inputs), network.compute_dtype)
        valued = checks.check_prox(regularizer, one)
        accelerated = acceleration is not None
        self._ways = [
            Steps(problem, regularizer, accelerated, valued, jit_compile)
            for problem in _problems(network, one, penalty, fidelity)
        ]
        self._measured: tuple[Any, Any] = (None, None)

    @takes_old_names
    def __call__(
        self,
        y: Any,
        max_steps: int = 1000,
        alpha: float | Sequence[float] | None = None,
        *,
        noise_std: Any = None,
        alpha_rule: str | None = None,
        source: float | None = None,
        tolerance: float = 1e-3,
        initial: Any = None,
        out_of_range: str = "raise",
        check_every: int = 50,
        step_factor: float | None = None,
        verbose: Any = 1,
    ) -> Inversion:
        """Find inputs whose outputs are `y`; see `invert`."""
        problem, network = self._ways[0].problem, self._network
        max_steps = check_count("max_steps", max_steps)
        check_every = check_count("check_every", check_every)
        least = "of at least 0; 0 takes all steps"
        tolerance = check_number("tolerance", tolerance, lambda t: t >= 0, least)
        check_choice("out_of_range", out_of_range, ("raise", "project"))
        check_choice("verbose", verbose, ("auto", 0, 1, 2, True, False))
        rules = ("theorem", "discrepancy", None)
        check_choice("alpha_rule", alpha_rule, rules)
        y = checks.check_data(y, network)
        batch, weighted = (len(y),), problem.fidelity.weighted
        factor, noise, weight = strength(
            y, alpha, noise_std, alpha_rule, source, self._regularizer, weighted
        )
        start = checks.check_initial(initial, (*batch, *network.inputs), problem.dtype)
        y = checks.in_range(problem.fidelity, y, out_of_range)
        data = Data(
            ops.convert_to_tensor(y, dtype=problem.dtype),
            ops.convert_to_tensor(weight, dtype=problem.dtype),
        )
        shown = 1 if verbose == "auto" else int(verbose)
        solved, begun = problem.solver, 0
        # `√2 δ = std √m`, the expected norm of the noise.
        target = noise * np.sqrt(np.prod(y.shape[1:]))

        def solver_of(steps: Steps, start: Any) -> Solver:
            usual = _LONG if steps.problem.hidden else 1.0
            given = usual if step_factor is None else step_factor
            advice = "1 is what power iteration gives"
            length = checks.check_positive("step_factor", given, batch, advice)
            bounds, every = self._bounds(steps, start), min(check_every, max_steps)
            return Solver(steps, data, start, bounds, every, tolerance, shown, length)

        def pilot(solver: Solver) -> Any:
            """Return an alpha to begin with: the noise as the regularizer sees it."""
            terms = self._regularizer.terms
            soft = max([t.weight for t in terms if not t.constraint], default=1.0)
            return noise * solver.slope / soft

        with _explained(network.network.name):
            blind = False  # at 0, ReLU networks without biases have no gradient
            if len(self._ways) > 1:
                blind = not ops.all(norm(problem.sweep(data, start, {}, {})[0]) > 0)
            if blind:
                solver = solver_of(self._ways[1], start)
                first = pilot(solver) if factor is None else factor
                solver.run(first, min(_BEGIN, (max_steps + 1) // 2))
                solved, begun = f"lifted, then {solved}", solver.iterations
                start = solver.best
            solver = solver_of(self._ways[0], start)
            steps = max_steps - begun
            if factor is None:

                def residual(alpha: np.ndarray) -> np.ndarray:
                    return solver.run(alpha, steps)["data_residual"]

                if alpha_rule == "theorem" or source is not None:
                    factor = theorem(residual, pilot(solver), target, source)
                else:
                    factor = discrepancy(residual, pilot(solver), target)
            stats = solver.run(factor, steps)
        if not stats["converged"].all() and tolerance > 0:
            _warn(stats, max_steps, tolerance, solved)
        return Inversion(
            x=ops.convert_to_numpy(solver.best),
            solver=solved,
            alpha=np.array(factor),
            noise_residual=target,
            path={name: np.array(each) for name, each in solver.path.items()},
            iterations=begun + solver.iterations,
            history={name: np.array(each) for name, each in solver.history.items()},
            converged=Flags.of(stats.pop("converged")),
            **stats,
        )

    def _bounds(self, steps: Steps, start: Any) -> Any:
        """Return `‖W‖²` and the rates of hidden variables, as the weights are now.

        New weights are looked at first: are the outputs random, or always the same?
        """
        values = [variable.value for variable in steps.variables]
        each = self._network.copies > 1
        digest = hashlib.blake2b(str(start.shape if each else "").encode())
        for value in values:
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(value)).tobytes())
        if (steps, digest.digest()) != self._measured[0]:
            check_outputs(self._network, start)
            measured = steps.lipschitz(values, start if each else start[:1])
            self._measured = ((steps, digest.digest()), measured)
        return self._measured[1]


def _problems(
    network: Sourced, u: Any, penalty: Any, fidelity: Fidelity | None
) -> list[InverseProblem]:
    """Return the problem to solve, and the one that a start without gradient needs.

    The nested problem ends ahead of the lifted one at equal time, but does not begin
    where units are silent. Of the inputs `u` only the shape is used.
    """
    tie = penalties.Bregman(1.0) if penalty is None else penalties.get(penalty)
    lifted = InverseProblem(network, u, tie, fidelity)
    if penalty is not None or not lifted.hidden:
        return [lifted]
    nothing = penalties.Bregman(float("inf"))
    return [InverseProblem(network, u, nothing, fidelity), lifted]


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Say what to do about networks that XLA cannot compile."""
    try:
        yield
    except Exception as error:
        if "unsupported operations" not in str(error):
            raise
        raise ValueError(
            f"XLA cannot compile the network '{name}', which calls something outside "
            "of TensorFlow, such as a numpy_function. Pass jit_compile=False. "
            f"Received: {str(error)[:200]}"
        ) from error


def _warn(stats: Stats, steps: int, tolerance: float, solver: str) -> None:
    failed = np.flatnonzero(~stats["converged"])
    advice = "Take more steps"
    if solver == "lifted":
        advice += ", or smaller penalty weights (hidden variables move faster)"
    warnings.warn(
        f"The inversion did not converge in {steps} steps in {len(failed)} of "
        f"{len(stats['converged'])} samples: {first_of(failed)} ({solver}). Their "
        f"residual is {stats['residual'][failed].max():.1e} at worst, above tolerance="
        f"{tolerance:g}. {advice}, or accept it by a larger `tolerance`; `history` "
        "shows how it went.",
        stacklevel=3,
    )
