"""Baselines that Keras does not have: schedule-free AdamW, Shampoo, SOAP.

They are for comparison: as short as the published updates, and neither the
memory nor the time of the refresh is spread over devices or steps. A kernel of
more than two axes is a matrix of its last axis against the others.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

# Keras's default for AdamW and Muon.
WEIGHT_DECAY = 0.004
# Sides above are left as they are: one-sided Shampoo or SOAP, by their authors'
# own rule (`max_precond_dim`, `block_size`) at a size this needs on a CPU.
LARGEST_SIDE = 1024


class ScheduleFreeAdamW(keras.optimizers.Optimizer):
    """AdamW at the mean of its iterates, without a decay.

    Per step t with gradient g at y, all of the same shape:

        v ← β₂ v + (1 − β₂) g²              γ = rate · √(1 − β₂ᵗ)
        z ← z − γ g / (√v + ε) − γ λ y      c = γ² / Σ γ²
        x ← (1 − c) x + c z                 y ← (1 − β₁) z + β₁ x

    The weights are y while `fit` runs and x when it has ended.

    Source: Defazio et al., "The Road Less Scheduled" (2405.15682), Algorithm 1.
    """

    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        decay: float = WEIGHT_DECAY,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **kwargs)
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.epsilon, self.decay = epsilon, decay
        self.squares = self.add_variable((), name="squares")

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.states = []
        for v in variables:
            z = self.add_variable(
                v.shape, lambda shape, dtype, v=v: ops.copy(v), v.dtype
            )
            square = self.add_variable_from_reference(v, "v")
            self.states.append((z, square))

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        """Add this step's γ² to their sum, then update every variable."""
        self.squares.assign_add(ops.square(self._gamma()))
        super().apply(grads, trainable_variables)

    def _gamma(self) -> Any:
        step = ops.cast(self.iterations + 1, "float32")
        return self.learning_rate * ops.sqrt(1 - ops.power(self.beta_2, step))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        z, v = self.states[self._get_variable_index(variable)]
        gamma = self._gamma()
        c = ops.square(gamma) / self.squares
        x = (variable - (1 - self.beta_1) * z) / self.beta_1
        v.assign(self.beta_2 * v + (1 - self.beta_2) * ops.square(gradient))
        step = gradient / (ops.sqrt(v) + self.epsilon) + self.decay * variable
        z.assign(z - gamma * step)
        x = (1 - c) * x + c * z
        variable.assign((1 - self.beta_1) * z + self.beta_1 * x)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        for variable in var_list:
            z, _ = self.states[self._get_variable_index(variable)]
            variable.assign((variable - (1 - self.beta_1) * z) / self.beta_1)


class MatrixOptimizer(keras.optimizers.Optimizer):
    """Adam for vectors, and for matrices what a subclass does."""

    def __init__(
        self,
        learning_rate: Any,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        refresh_every: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, **{"weight_decay": WEIGHT_DECAY, **kwargs})
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        self.refresh_every = refresh_every

    def build(self, variables: list[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.states = []
        for v in variables:
            state = {name: self._zeros(_matrix(v.shape), name) for name in "mv"}
            for name, side in zip("LR", _matrix(v.shape), strict=True):
                if len(v.shape) > 1 and side <= LARGEST_SIDE:
                    state[name] = self._zeros((side, side), name)
                    state["Q" + name] = self._zeros((side, side), "Q" + name)
            self.states.append(state)

    def _zeros(self, shape: tuple[int, ...], name: str) -> keras.Variable:
        return self.add_variable(shape, initializer="zeros", name=name)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        state = self.states[self._get_variable_index(variable)]
        gradient = ops.reshape(gradient, _matrix(variable.shape))
        step = self.direction(gradient, state)
        step = ops.reshape(learning_rate * step, variable.shape)
        variable.assign_sub(step)

    def direction(self, gradient: Any, state: dict[str, Any]) -> Any:
        """Update the state of a matrix and return its step at rate 1."""
        raise NotImplementedError

    def averaged(self, variable: keras.Variable, value: Any, beta: float) -> Any:
        """Let a running mean take in a value and return it."""
        variable.assign(beta * variable + (1 - beta) * value)
        return ops.convert_to_tensor(variable)

    def corrected(self, mean: Any, beta: float, steps: Any) -> Any:
        """Divide by what a running mean that began at zero lacks."""
        return mean / (1 - ops.power(beta, ops.cast(steps, "float32")))

    def covariances(self, gradient: Any, state: dict[str, Any]) -> None:
        """Let L take in G Gᵀ and R take in Gᵀ G."""
        for name, g in (("L", gradient), ("R", ops.transpose(gradient))):
            if name in state:
                self.averaged(state[name], g @ ops.transpose(g), self.beta_2)


class Shampoo(MatrixOptimizer):
    """Shampoo with the length of Adam's step.

    For a matrix with gradient G:

        L ← β₂ L + (1 − β₂) G Gᵀ        M ← β₁ M + (1 − β₁) G
        R ← β₂ R + (1 − β₂) Gᵀ G        V ← β₂ V + (1 − β₂) G²
        D = L^(−1/4) M R^(−1/4)         A = M̂ / (√V̂ + ε)
        W ← W − rate · D ‖A‖ / ‖D‖

    The roots are computed anew every `refresh_every` steps, from the first, of
    eigenvalues raised by 1e-6 of the largest.

    Source: Gupta et al. (1802.09568), Algorithm 1, with running means instead of
    sums, momentum and grafting by Anil et al. (2002.09018).
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        epsilon: float = 1e-8,
        refresh_every: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, refresh_every, **kwargs
        )

    def direction(self, gradient: Any, state: dict[str, Any]) -> Any:
        steps = self.iterations + 1
        m = self.averaged(state["m"], gradient, self.beta_1)
        v = self.averaged(state["v"], ops.square(gradient), self.beta_2)
        adam = self.corrected(m, self.beta_1, steps) / (
            ops.sqrt(self.corrected(v, self.beta_2, steps)) + self.epsilon
        )
        self.covariances(gradient, state)
        due = ops.equal(self.iterations % self.refresh_every, 0)
        for name in "LR":
            if name in state:
                root, now = state["Q" + name], ops.convert_to_tensor(state[name])
                kept = ops.convert_to_tensor(root)
                root.assign(
                    ops.cond(due, lambda a=now: _fourth_root(a), lambda k=kept: k)
                )
        if not {"L", "R"} & set(state):
            return adam
        d = _sandwich(state.get("QL"), m, state.get("QR"))
        return d * ops.norm(adam) / (ops.norm(d) + 1e-30)


class SOAP(MatrixOptimizer):
    """Adam in the eigenbasis of Shampoo's matrices.

    For a matrix with gradient G, and Q_L, Q_R the eigenvectors of L and R:

        M ← β₁ M + (1 − β₁) G           M' = Q_Lᵀ M̂ Q_R
        V ← β₂ V + (1 − β₂) (Q_Lᵀ G Q_R)²
        W ← W − rate · Q_L (M' / (√V̂ + ε)) Q_Rᵀ
        L ← β₂ L + (1 − β₂) G Gᵀ        R ← β₂ R + (1 − β₂) Gᵀ G

    Every `refresh_every` steps Q ← the orthogonal factor of L Q, likewise of R Q.
    The first step computes eigenvectors and moves nothing, as in the authors'
    code.

    Source: Vyas et al. (2409.11321), Algorithms 3 and 4.
    """

    def __init__(
        self,
        learning_rate: Any = 0.003,
        beta_1: float = 0.95,
        beta_2: float = 0.95,
        epsilon: float = 1e-8,
        refresh_every: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, refresh_every, **kwargs
        )

    def direction(self, gradient: Any, state: dict[str, Any]) -> Any:
        first = ops.equal(self.iterations, 0)
        moves = ops.where(first, 0.0, 1.0)
        steps = ops.maximum(self.iterations, 1)
        left, right = (_value(state.get(name)) for name in ("QL", "QR"))
        turned = _sandwich(_transposed(left), gradient, right)
        m = self.averaged(state["m"], gradient, self.beta_1)
        v = self.averaged(state["v"], ops.square(turned), self.beta_2)
        for each in "mv":
            state[each].assign(moves * state[each])
        m = _sandwich(_transposed(left), self.corrected(m, self.beta_1, steps), right)
        v = self.corrected(v, self.beta_2, steps)
        adam = m / (ops.sqrt(v) + self.epsilon)
        step = _sandwich(left, adam, _transposed(right))
        self.covariances(gradient, state)
        due = ops.equal(self.iterations % self.refresh_every, 0)
        for name, basis in (("L", left), ("R", right)):
            if name in state:
                new = _eigenvectors(first, due, _value(state[name]), basis)
                state["Q" + name].assign(new)
        return moves * step


def _eigenvectors(first: Any, due: Any, a: Any, basis: Any) -> Any:
    """Eigenvectors at first, one step of orthogonal iteration when due."""
    return ops.cond(
        first,
        lambda: ops.eigh(a)[1],
        lambda: ops.cond(due, lambda: ops.qr(a @ basis)[0], lambda: basis),
    )


def _fourth_root(a: Any) -> Any:
    """The inverse fourth root of a symmetric matrix."""
    values, vectors = ops.eigh(a)
    values = ops.maximum(values, 0) + 1e-6 * ops.max(values) + 1e-30
    return (vectors * values**-0.25) @ ops.transpose(vectors)


def _sandwich(left: Any, middle: Any, right: Any) -> Any:
    """The product of three matrices, of which the outer ones may be None."""
    middle = middle if left is None else ops.matmul(left, middle)
    return middle if right is None else ops.matmul(middle, right)


def _value(variable: keras.Variable | None) -> Any:
    return None if variable is None else ops.convert_to_tensor(variable)


def _transposed(a: Any) -> Any:
    return None if a is None else ops.transpose(a)


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; a vector is one column."""
    if len(shape) < 2:
        return math.prod(shape), 1
    return math.prod(shape[:-1]), shape[-1]
