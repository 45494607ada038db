"""Every activation beside a float64 numpy version written from the theory.

`Scalar` cases act on each entry; `Vector` cases couple the last axis.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

import keras_lifted as kl

L = kl.layers
INF = np.inf
WIDE = 30.0  # stands for infinity where a numerical search needs an end


@dataclasses.dataclass(frozen=True)
class Scalar:
    make: Callable
    sigma: Callable
    potential: Callable  # inside the closed domain, where finite
    domain: tuple = (-INF, INF)
    edges: tuple = ()  # edges at which the potential is finite

    def argmin(self, v, step=1.0):
        """Brute-force `argmin_x ½(x − v)² + step Ψ(x)` for one number."""

        def objective(x):
            return 0.5 * (x - v) ** 2 + step * self.potential(x)

        low = max(self.domain[0], -abs(v) - 3)
        high = min(self.domain[1], abs(v) + 3)
        found = optimize.minimize_scalar(
            objective, bounds=(low, high), method="bounded", options={"xatol": 1e-11}
        )
        return found.x


@dataclasses.dataclass(frozen=True)
class Vector:
    make: Callable
    sigma: Callable
    potential: Callable
    project: Callable  # a random vector into the domain
    constraints: tuple = ()
    bounds: tuple | None = None

    def argmin(self, v, step=1.0):
        """Brute-force argmin for one vector."""

        def objective(x):
            return 0.5 * np.sum((x - v) ** 2) + step * self.potential(x)

        return optimize.minimize(
            objective,
            self.project(v + 0.1),
            method="SLSQP",
            bounds=None if self.bounds is None else [self.bounds] * len(v),
            constraints=list(self.constraints),
            options={"ftol": 1e-14, "maxiter": 500},
        ).x


def _elu_potential(a):
    def potential(x):
        bent = special.xlogy(x + a, (x + a) / a) - x - x**2 / 2
        return np.where(x >= 0, 0.0, bent)

    return potential


def _relu(z):
    return np.maximum(z, 0)


def _isru_potential(x):
    return 1 - x**2 / 2 - np.sqrt(1 - x**2)


def _softmax(z):
    return special.softmax(z, axis=-1)


def _simplex(z):
    """Projection by bisection on the shift."""
    low, high = z.min(-1, keepdims=True) - 1, z.max(-1, keepdims=True)
    for _ in range(200):
        shift = (low + high) / 2
        large = _relu(z - shift).sum(-1, keepdims=True) > 1
        low, high = np.where(large, shift, low), np.where(large, high, shift)
    return _relu(z - high)


def _ball(z, r):
    return z / np.maximum(1, np.linalg.norm(z, axis=-1, keepdims=True) / r)


SCALARS = {
    "identity": Scalar(L.Identity, lambda z: z, lambda x: 0 * x),
    "relu": Scalar(L.ReLU, _relu, lambda x: 0 * x, (0, INF), (0,)),
    "leaky_relu": Scalar(
        lambda: L.LeakyReLU(0.3),
        lambda z: np.where(z > 0, z, 0.3 * z),
        lambda x: np.where(x > 0, 0, (1 / 0.3 - 1) * x**2 / 2),
    ),
    "hard_tanh": Scalar(
        lambda: L.HardTanh(-0.5, 2.0),
        lambda z: np.clip(z, -0.5, 2.0),
        lambda x: 0 * x,
        (-0.5, 2.0),
        (-0.5, 2.0),
    ),
    "box_projection": Scalar(
        lambda: L.BoxProjection(-INF, 1.0),
        lambda z: np.minimum(z, 1.0),
        lambda x: 0 * x,
        (-INF, 1.0),
        (1.0,),
    ),
    "soft_threshold": Scalar(
        lambda: L.SoftThreshold(0.4),
        lambda z: np.sign(z) * _relu(np.abs(z) - 0.4),
        lambda x: 0.4 * np.abs(x),
    ),
    "learnable_threshold": Scalar(
        lambda: L.SoftThreshold(0.25, learnable=True),
        lambda z: np.sign(z) * _relu(np.abs(z) - 0.25),
        lambda x: 0.25 * np.abs(x),
    ),
    "dual_soft_threshold": Scalar(
        lambda: L.DualSoftThreshold(0.5),
        lambda z: np.clip(z, -0.5, 0.5),
        lambda x: 0 * x,
        (-0.5, 0.5),
        (-0.5, 0.5),
    ),
    "learnable_dual_threshold": Scalar(
        lambda: L.DualSoftThreshold(0.25, learnable=True),
        lambda z: np.clip(z, -0.25, 0.25),
        lambda x: 0 * x,
        (-0.25, 0.25),
        (-0.25, 0.25),
    ),
    "tanh": Scalar(
        L.Tanh,
        np.tanh,
        lambda x: (
            special.xlogy(1 + x, 1 + x) / 2 + special.xlogy(1 - x, 1 - x) / 2 - x**2 / 2
        ),
        (-1, 1),
        (-1, 1),
    ),
    "sigmoid": Scalar(
        L.Sigmoid,
        special.expit,
        lambda x: special.xlogy(x, x) + special.xlogy(1 - x, 1 - x) - x**2 / 2,
        (0, 1),
        (0, 1),
    ),
    "softplus": Scalar(
        L.Softplus,
        lambda z: np.logaddexp(0, z),
        lambda x: special.spence(-np.expm1(-x)) - np.pi**2 / 6,
        (0, INF),
        (0,),
    ),
    "elu": Scalar(
        L.ELU,
        lambda z: np.where(z >= 0, z, np.expm1(np.minimum(z, 0))),
        _elu_potential(1.0),
        (-1, INF),
        (-1,),
    ),
    "elu_half": Scalar(
        lambda: L.ELU(0.5),
        lambda z: np.where(z >= 0, z, 0.5 * np.expm1(np.minimum(z, 0))),
        _elu_potential(0.5),
        (-0.5, INF),
        (-0.5,),
    ),
    "softsign": Scalar(
        L.Softsign,
        lambda z: z / (1 + np.abs(z)),
        lambda x: -np.abs(x) - np.log1p(-np.abs(x)) - x**2 / 2,
        (-1, 1),
    ),
    "isru": Scalar(
        L.ISRU, lambda z: z / np.sqrt(1 + z**2), _isru_potential, (-1, 1), (-1, 1)
    ),
    "isrlu": Scalar(
        L.ISRLU,
        lambda z: np.where(z >= 0, z, z / np.sqrt(1 + z**2)),
        lambda x: _isru_potential(np.minimum(x, 0)),
        (-1, INF),
        (-1,),
    ),
    "arctan": Scalar(
        L.Arctan,
        lambda z: 2 / np.pi * np.arctan(z),
        lambda x: -2 / np.pi * np.log(np.cos(np.pi * x / 2)) - x**2 / 2,
        (-1, 1),
    ),
    "bent_identity": Scalar(
        L.BentIdentity,
        lambda z: (z + np.sqrt(z**2 + 1) - 1) / 2,
        lambda x: x / 2 - np.log(2 * x + 1) / 4,
        (-0.5, INF),
    ),
    "signed_log": Scalar(
        L.SignedLog,
        lambda z: np.sign(z) * np.log1p(np.abs(z)),
        lambda x: np.expm1(np.abs(x)) - np.abs(x) - x**2 / 2,
    ),
}

_SUM_TO_ONE = ({"type": "eq", "fun": lambda x: x.sum() - 1},)
_IN_BALL = ({"type": "ineq", "fun": lambda x: 1.5 - np.linalg.norm(x)},)

VECTORS = {
    "softmax": Vector(
        L.Softmax,
        _softmax,
        lambda x: np.sum(special.xlogy(x, x) - x**2 / 2),
        _softmax,
        _SUM_TO_ONE,
        (1e-12, 1),
    ),
    "simplex_projection": Vector(
        L.SimplexProjection, _simplex, lambda x: 0.0, _softmax, _SUM_TO_ONE, (0, 1)
    ),
    "l2_ball_projection": Vector(
        lambda: L.L2BallProjection(1.5),
        lambda z: _ball(z, 1.5),
        lambda x: 0.0,
        lambda z: _ball(z, 1.0),
        _IN_BALL,
    ),
    "group_soft_threshold": Vector(
        lambda: L.GroupSoftThreshold(0.7),
        lambda z: z - _ball(z, 0.7),
        lambda x: 0.7 * np.linalg.norm(x),
        lambda z: z,
    ),
}

CASES = {**SCALARS, **VECTORS}


def points(rows, size=4, scale=2.0, seed=0):
    """Random pre-activations, `(rows, size)`."""
    return np.random.default_rng(seed).normal(size=(rows, size)) * scale


def in_domain(case, values):
    """Random points moved into the interior of the domain."""
    if isinstance(case, Vector):
        return case.project(values)
    low, high = case.domain
    width = min(high - low, WIDE)
    return np.clip(values, low + 1e-3 * width, high - 1e-3 * width)
