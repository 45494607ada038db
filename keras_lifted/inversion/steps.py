"""Primal-dual steps of an inverse problem, compiled once for every shape of batch."""

import functools
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_lifted.backend import compiled, while_loop
from keras_lifted.inversion.certificate import certificate
from keras_lifted.inversion.fidelity import Data
from keras_lifted.inversion.primal_dual import PrimalDual, State, Term, norm
from keras_lifted.inversion.problem import InverseProblem
from keras_lifted.layers.gradients import per_sample
from keras_lifted.layers.map import ProximalMap
from keras_lifted.lifting.swept import Lifted
from keras_lifted.regularizers.base import Regularizer

Tensor = Any


class Instance(NamedTuple):
    """The numbers of a problem: other ones need no other code.

    Attributes:
        values: of the variables of the network and of the regularizer.
        data: y and its weights.
        alpha: factor on the regularizer, `(batch,)`.
        bound: `‖W‖²` of the network, as cautious as steps must be, `(batch,)`.
        rates: step lengths of the hidden variables, `(batch,)` each.
    """

    values: list[Tensor]
    data: Data
    alpha: Tensor
    bound: Tensor
    rates: Lifted


class Point(NamedTuple):
    """Where the steps are, and the best of what was checked.

    Attributes:
        iterate: the state of the primal-dual scheme.
        coordinates: of the hidden lifted variables.
        best: the inputs of the least objective at a check.
        kept: the coordinates that belong to them.
    """

    iterate: State
    coordinates: Lifted
    best: Tensor
    kept: Lifted


class Steps:
    """Steps that minimise `E(u, X) + alpha · R(u)`, and what they have reached.

    `valued` says whether R has a value; otherwise the latest point is the best.

    Attributes:
        advance: `(instance, point, lowest, count) -> (point, figures)`: `count` steps
            from `point`; `lowest` is what the objective may be at the most for a new
            point to be kept, `(batch,)`.
        lipschitz: `(values, u) -> (bound, rates)` of an instance.
        variables: those of the network and of the regularizer.
    """

    def __init__(
        self,
        problem: InverseProblem,
        regularizer: Regularizer,
        accelerated: bool,
        valued: bool,
        xla: bool,
    ) -> None:
        self.problem = problem
        self.variables = list(problem.network.variables)
        self.variables += [v for t in regularizer.terms for v in t.variables]
        self.valued = valued
        self._accelerated = accelerated and valued
        # Constraints stay with u itself, where nothing else does.
        self._direct = min(
            (term for term in regularizer.terms if term.direct),
            key=lambda term: (term.valued, not term.constraint),
            default=None,
        )
        self._duals = [t for t in regularizer.terms if t is not self._direct]
        self.advance = compiled(self._advance, xla)
        self.lipschitz = compiled(self._lipschitz, xla)

    def _scope(self, values: list[Tensor]) -> keras.StatelessScope:
        """Open a scope in which the variables have these values."""
        return keras.StatelessScope(list(zip(self.variables, values, strict=True)))

    def _lipschitz(self, values: list[Tensor], u: Tensor) -> tuple[Tensor, Lifted]:
        with self._scope(values):
            return self.problem.lipschitz(u)

    def _scheme(self, instance: Instance, u: Tensor) -> PrimalDual:
        """Return the steps of an instance, for inputs like u."""
        fidelity, data, bound = self.problem.fidelity, instance.data, instance.bound

        def term(r: Regularizer) -> Term:
            bound_of_term = r.operator_bound(tuple(u.shape[1:]))
            factor, source = instance.alpha * r.weight, r if r.direct else None
            return Term(r.value, r.prox, factor, r.operator, bound_of_term, source)

        duals = [term(each) for each in self._duals]
        if not fidelity.smooth:
            duals.append(self.problem.term(data, bound))
        direct = None if self._direct is None else term(self._direct)
        lipschitz = fidelity.curvature(*data) * bound
        return PrimalDual(direct, tuple(duals), lipschitz, self._accelerated)

    def start(self, instance: Instance, u: Tensor) -> Point:
        """Return the point before the first step: a forward pass from `u`."""
        coordinates = self.problem.origin(u)
        iterate = self._scheme(instance, u).start(u, coordinates)
        return Point(iterate, coordinates, u, coordinates)

    def _advance(
        self, instance: Instance, point: Point, lowest: Tensor, count: Tensor
    ) -> tuple[Point, dict[str, Tensor]]:
        def sweep(u: Tensor, coordinates: Lifted) -> tuple[Tensor, Lifted]:
            return self.problem.sweep(instance.data, u, coordinates, instance.rates)

        with self._scope(instance.values):
            scheme = self._scheme(instance, point.best)

            def body(i: Tensor, iterate: State, coordinates: Lifted) -> tuple[Any, ...]:
                return i + 1, *scheme.step(sweep, iterate, coordinates)

            iterate = scheme.balanced(point.iterate)
            begin = (ops.zeros((), "int32"), iterate, point.coordinates)
            _, iterate, coordinates = while_loop(lambda i, *_: i < count, body, begin)
            found = self._measure(scheme, instance, iterate, coordinates)
        # Where there is no value to compare, the latest point is the best.
        latest = ops.logical_not(found["feasible"]) if self.valued else True
        latest = ops.logical_and(latest, ops.isfinite(found["residual"]))
        latest = ops.logical_and(latest, lowest > -float("inf"))
        better = ops.logical_or(found["objective"] <= lowest, latest)
        best = choose(better, iterate["mean"], point.best)
        kept = choose(better, coordinates, point.kept)
        return Point(iterate, coordinates, best, kept), {**found, "kept": better}

    def _measure(
        self,
        scheme: PrimalDual,
        instance: Instance,
        iterate: State,
        coordinates: Lifted,
    ) -> dict[str, Tensor]:
        """Return figures at the mean iterate, `(batch,)` each."""
        problem, u, duals = self.problem, iterate["mean"], iterate["duals"]
        data, rates = instance.data, instance.rates
        fidelity, gaps = problem.energies(data, u, coordinates)
        gradient, moved = problem.sweep(data, u, coordinates, rates, hold=True)
        objective, feasible = scheme.value(u)
        if problem.fidelity.smooth:  # otherwise it is one of the terms of the scheme
            objective = objective + fidelity
        else:
            fidelity, _ = scheme.duals[-1].near(scheme.duals[-1].operator(u))
        gap = ops.zeros_like(fidelity)
        residual = scheme.residual(gradient, u, duals)
        for call in problem.hidden:
            key, sigma = call.key, ProximalMap.of(call.activation)
            objective = objective + problem.weight(call) * gaps[key]
            gap = ops.maximum(gap, gaps[key])
            old = problem.penalty.point(sigma, coordinates[key])
            new = problem.penalty.point(sigma, moved[key])
            residual = ops.maximum(residual, _change(old, new, rates[key]))
        bound = ops.full_like(objective, float("nan"))
        if problem.affine and self.valued and not problem.network.coarse:
            fit = functools.partial(problem.gap, data, u)
            bound = certificate(scheme, gradient, u, duals, objective, residual, fit)
        error = ops.sqrt(data.weight) * (problem.outputs(u) - data.y)
        return {
            "objective": objective,
            "feasible": feasible,
            "fidelity": fidelity,
            "residual": residual,
            "data_residual": norm(error),
            "gap": gap,
            "certificate": bound,
        }


def _change(old: Tensor, new: Tensor, rate: Tensor) -> Tensor:
    """Return the relative change per unit of step, `(batch,)`."""
    moved = norm(new - old)
    change = moved / ops.maximum(norm(new), 1e-30) * (1.0 + rate) / rate
    return ops.where(moved == 0, 0.0, change)


def choose(flags: Tensor, yes: Any, no: Any) -> Any:
    """Choose `yes` or `no`, structures of tensors, sample by sample."""
    return keras.tree.map_structure(
        lambda a, b: ops.where(per_sample(flags, a), a, b), yes, no
    )
