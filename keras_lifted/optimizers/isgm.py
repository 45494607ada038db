"""The implicit stochastic gradient method: a proximal step for every kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import final

import keras
from keras import ops

from keras_lifted import geometries
from keras_lifted import penalties
from keras_lifted.backend import replicas
from keras_lifted.checks import check_between
from keras_lifted.checks import check_count
from keras_lifted.geometries.base import Displacement
from keras_lifted.geometries.choice import as_choice
from keras_lifted.geometries.momentum import keep_at
from keras_lifted.geometries.momentum import recent
from keras_lifted.geometries.refresh import Due
from keras_lifted.geometries.refresh import due_at
from keras_lifted.lifting.affine import Affine
from keras_lifted.lifting.problem import LiftedProblem
from keras_lifted.optimizers.assignment import Assignment
from keras_lifted.optimizers.assignment import Block
from keras_lifted.optimizers.base import LiftedOptimizer
from keras_lifted.optimizers.decay import FIT
from keras_lifted.optimizers.decay import Decay
from keras_lifted.optimizers.decay import check_decay
from keras_lifted.optimizers.intake import take_in
from keras_lifted.optimizers.matrix_block import MatrixBlock
from keras_lifted.optimizers.promise import Promise
from keras_lifted.optimizers.weight_block import WeightBlock
from keras_lifted.updates.base import Solution

Tensor = Any

# Penalty weight where the geometry is Frobenius: it divides the step there.
FROBENIUS_WEIGHT = 10.0
# The default rate, up to so many kernels; the least part of it that deeper ones take.
RATE, SHALLOW, DEEPEST = 0.1, 9, 0.2
# The inner Adam's default rate.
INNER_RATE = 0.01


def rate_at(kernels: int) -> float:
    """The default learning rate, `0.1 (9/L)²` of L kernels, within [0.02, 0.1].

    Relative changes of all kernels add up along the depth, and on the plateau on
    which deep flat networks start no promise of a decrease limits them: twenty
    sigmoid layers learn at 0.02 and not at 0.035, ten learn best above 0.05.
    """
    return RATE * min(1.0, max(DEEPEST, (SHALLOW / max(kernels, 1)) ** 2))


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class ISGM(LiftedOptimizer):
    """Every kernel takes a proximal step in the geometry that suits it.

    Given the lifted variables the weight blocks are independent and convex.
    Each takes `argmin_W ⟨M, W⟩ + (1/2τ)‖W − W_k‖²`, `M` the momentum of its
    gradient, in the norm of its geometry, for the kernels of Dense, EinsumDense
    (so of attention) and convolution layers with their biases. Kernels of other
    layers with an attribute `matrix_kernel` move in the spectral norm: with True,
    as the tied convolutions of proximal networks have, the last axis the matrix's
    columns; with "stacked", as `ProximalStack` has, the same of every slice of the
    first axis; with "added", as it has with skips, more than 16 of them share the
    step of 16. The layer's bias, if it has one, is one more row. All other
    variables (normalisation, PReLU slopes, …) go to `inner_optimizer`. The
    length of the steps suits depth, activations and loss by itself: all together
    they promise to lower the loss by at most the part `largest_decrease` of it,
    and none moves a block's pre-activations by more than the part
    `largest_change` of them.

    With `decay_steps="fit"` a rate that is a number falls to zero over the epochs
    of `fit`, as `1 − p^(3/2)` at the part p of their steps, from the second epoch on
    where `fit` does not know these; batches trained on otherwise keep it constant.

    Args:
        learning_rate: `τ`, of the longest step. Except for Frobenius it is a
            relative size: root mean square of the singular values of a kernel's
            change (of the change of the pre-activations, over theirs, for
            Covariance). A number, a schedule, or a callable as for any Keras
            optimizer; by default 0.1, and less for more than nine kernels:
            `0.1 (9/L)²` for L of them, every block of a stack one, at least 0.02.
        geometry: "auto", a geometry of `keras_lifted.geometries` or its name,
            or a dict of these by layer name, whose key "default" serves the
            rest. "auto" is Kronecker; see `chosen_geometries`.
        momentum: of the gradients, before the geometry shapes the step; Nesterov's.
            The most that is taken, of 1/(1 − momentum) steps; down to five where
            the gradients of batches have little noise and the loss falls fast.
        inner_optimizer: for variables that are no kernel or its bias; its
            learning rate is its own, and decays along. Default `Adam(0.01)`.
        penalty: default `Bregman` of weight 1000 for the sweep, 10 for
            repeated updates and for the Frobenius geometry.
        lifted_update: default `Sweep()`.
        decay_steps: "fit", a number of training steps, or None for none.
        largest_change: largest root mean square change of a block's
            pre-activations in one step, relative to their own.
        largest_decrease: largest part of the loss by which one step of all
            kernels promises to lower it, to first order; where `τ` promises
            more, all steps are shortened alike.
        moment_refresh: training steps between two batches that the running
            moments of the layers' inputs and the noise estimate take in; each
            of the first ones is. What makes the singular values of Kronecker's steps
            alike is found as often.
        factor_refresh: training steps between two computations of the
            factors of a geometry; the first ones come sooner. Kronecker takes
            its direction from the batches' inputs and displacements, for Dense
            layers that are called once a batch on `(batch, n)`; from the momentum
            of the gradients, at twice the cost, for others, and where gradients
            are clipped, accumulated or scaled.
        input_decay: of the running moments of the layers' inputs, each time
            that they take in a batch.
        curvature_refresh, persistent: as for `BlockCoordinateDescent`.
        name: name of the optimizer.
        **kwargs: `weight_decay`, `clipnorm`, `global_clipnorm`, `clipvalue`,
            `use_ema`, `gradient_accumulation_steps`, … of any Keras optimizer.

    Raises:
        ValueError: if an argument is unknown or out of range.

    Source: Wang et al., arXiv 2510.09796, section 4; Toulis & Airoldi, 2017.

    Example:

    >>> import keras_lifted as kl
    >>> optimizer = kl.optimizers.ISGM(learning_rate=0.03)
    >>> round(float(optimizer.learning_rate), 3)
    0.03
    """

    _nested = (*LiftedOptimizer._nested, "inner_optimizer", "geometry", "learning_rate")

    def __init__(
        self,
        learning_rate: Any = None,
        geometry: Any = "auto",
        momentum: float = 0.95,
        inner_optimizer: Any = None,
        penalty: Any = None,
        lifted_update: Any = None,
        decay_steps: Any = FIT,
        largest_change: float = 0.1,
        largest_decrease: float = 0.05,
        moment_refresh: int = 10,
        factor_refresh: int = 100,
        input_decay: float = 0.95,
        curvature_refresh: int = 50,
        persistent: Any = False,
        name: str = "isgm",
        **kwargs: Any,
    ) -> None:
        chosen = as_choice(geometry)
        if penalty is None and isinstance(chosen, geometries.Frobenius):
            penalty = penalties.Bregman(FROBENIUS_WEIGHT)
        super().__init__(
            penalty,
            lifted_update,
            curvature_refresh,
            persistent,
            learning_rate=RATE if learning_rate is None else learning_rate,
            name=name,
            **kwargs,
        )
        self._rate_by_depth = learning_rate is None
        self.geometry = chosen
        self.momentum = check_between("momentum", momentum, 0.0, 1.0)
        if inner_optimizer is None:
            inner_optimizer = keras.optimizers.Adam(INNER_RATE)
        self.inner_optimizer = keras.optimizers.get(inner_optimizer)
        if hasattr(self.inner_optimizer, "inner_optimizer") or isinstance(
            self.inner_optimizer, LiftedOptimizer
        ):
            raise ValueError(
                "`inner_optimizer` must be an ordinary Keras optimizer: it moves "
                f"what is no kernel. Received: {inner_optimizer!r}"
            )
        self.decay_steps = check_decay(decay_steps)
        self.largest_change = check_between("largest_change", largest_change, 1e-9, 1e9)
        self.largest_decrease = check_between(
            "largest_decrease", largest_decrease, 1e-9, 1e9
        )
        self.moment_refresh = check_count("moment_refresh", moment_refresh)
        self.factor_refresh = check_count("factor_refresh", factor_refresh)
        self.input_decay = check_between("input_decay", input_decay, 0.0, 1.0)
        self._scheduled = callable(learning_rate)  # schedules are, too
        self.decay: Decay | None = None
        self.promise: Promise | None = None
        self._assignment = Assignment()
        # What `solve` tells the step of the weights that is traced with it.
        self._followed: dict[int, Displacement] = {}

    @property
    def learning_rate(self) -> Any:
        """`τ`. The default is that of the depth once the optimizer is built."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        self._rate_by_depth = False
        keras.optimizers.Optimizer.learning_rate.fset(self, rate)

    # -- blocks ---------------------------------------------------------------

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create momentum, moments and factors of every kernel."""
        model = self._model() if self._model is not None else None
        super().build(variables)
        self.decay = Decay(self, self.decay_steps)
        self.promise = Promise.build(self)
        self._assignment = Assignment.build(
            self, model, variables, self.geometry, self.input_decay
        )
        if self._rate_by_depth:
            self._learning_rate.assign(rate_at(self._assignment.kernels))
        if self._assignment.rest:
            self.inner_optimizer.build(list(self._assignment.rest.values()))

    @property
    def weight_blocks(self) -> list[WeightBlock]:
        """State of the kernels of affine layers."""
        return self._assignment.weight_blocks

    @property
    def matrix_blocks(self) -> list[MatrixBlock]:
        """State of other kernels that are matrices."""
        return self._assignment.matrix_blocks

    def chosen_geometries(self) -> dict[str, str]:
        """`{path of the variable: geometry, or the inner optimizer's name}`.

        Raises:
            ValueError: before the optimizer is built.
        """
        if not self.built:
            raise ValueError(
                "Geometries are chosen when the optimizer is built. Call "
                "`model.fit`, or `optimizer.build(model.trainable_variables)`."
            )
        inner = type(self.inner_optimizer).__name__
        rest = {v.path: inner for v in self._assignment.rest.values()}
        return rest | self._assignment.geometries()

    @property
    def variables(self) -> list[keras.Variable]:
        """Own variables, then the inner optimizer's."""
        inner = self.inner_optimizer.variables if self._assignment.rest else []
        return [*super().variables, *inner]

    @property
    def affine(self) -> list[Affine]:
        """The layers whose kernels take proximal steps."""
        return [block.affine for block in self.weight_blocks]

    # -- a step ---------------------------------------------------------------

    def solve(self, problem: LiftedProblem) -> Solution:
        """Lifted variables and weight gradients; takes in the layers' inputs."""
        assert self.promise is not None
        solution = super().solve(problem)
        last, due = solution.last, self._due
        promised = sum((block.decrease for block, *_ in self._assignment), 0.0)
        self.promise.limit(promised, self.largest_decrease)
        self.promise.observe(replicas() * solution.forward.loss, due.taken)
        self._followed = take_in(self, problem, last, due, self._keep)
        return solution

    def move_weights(
        self, grads: Sequence[Tensor], variables: Sequence[keras.Variable]
    ) -> None:
        """One proximal step of every block, one inner step of the rest."""
        pairs = list(zip(grads, variables, strict=True))
        # A kernel's step moves its bias too, and reads the bias's momentum.
        pairs.sort(key=lambda pair: self._is_kernel(pair[1]))
        keras.optimizers.Optimizer.apply(
            self, [g for g, _ in pairs], [v for _, v in pairs]
        )
        if self._assignment.rest:
            self.inner_optimizer.iterations.assign(self.iterations)

    def _is_kernel(self, variable: keras.Variable) -> bool:
        block = self._assignment.blocks.get(self._get_variable_index(variable))
        return block is not None and block[1]

    def _keep(self, block: Block) -> Tensor:
        """What the running mean of a block's gradients keeps of itself."""
        assert self.promise is not None
        keep = keep_at(self.iterations, self.momentum)
        signal = self._assignment.signal(block)
        return recent(keep, self.momentum, signal, self.promise.part.value)

    @property
    def _due(self) -> Due:
        return due_at(self.iterations, self.moment_refresh, self.factor_refresh)

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """One step of one variable; a bias waits for its kernel."""
        assert self.decay is not None and self.promise is not None
        index = self._get_variable_index(variable)
        factor = self.decay.factor(self.iterations)
        if index in self._assignment.rest:
            rate = factor * self.inner_optimizer.learning_rate
            self.inner_optimizer.update_step(gradient, variable, rate)
            return
        part = factor * self.promise.part
        block, is_kernel = self._assignment.blocks[index]
        keep = self._keep(block)
        if not is_kernel:
            assert block.bias is not None
            block.bias.take_in(gradient, keep)
            return
        if isinstance(block, MatrixBlock):
            block.step(gradient, learning_rate, part, keep)
            return
        block.step(
            gradient,
            learning_rate,
            part,
            keep,
            self.largest_change,
            self._followed.pop(id(block), None),
            self._due,
        )

    def plan(self, epoch: int, epochs: int, steps: int | None) -> None:
        """Spread the decay over the epochs of a `fit` that begins `epoch`."""
        if self.decay_steps == FIT and self.decay and not self._scheduled:
            taken = int(ops.convert_to_numpy(self.iterations))
            batches = self.gradient_accumulation_steps or 1  # of each step
            self.decay.plan(taken, epoch, epochs, steps and steps // batches)

    def scalars(self) -> dict[str, float]:
        """What TensorBoard shows.

        By layer the relative change of pre-activations and the signal's part of
        the squared gradient; the decay of the rate, and the part of the step of
        that rate which `largest_decrease` allows.
        """
        assert self.decay is not None and self.promise is not None
        changes = {f"change/{b.affine.name}": b.change for b in self.weight_blocks}
        changes |= {
            f"signal/{b.affine.name}": b.signal.share for b in self.weight_blocks
        }
        decay = self.decay.factor(self.iterations)
        return {
            name: float(ops.convert_to_numpy(value))
            for name, value in {
                **changes,
                "decay": decay,
                "allowed": self.promise.part,
            }.items()
        }

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        serialize = keras.saving.serialize_keras_object
        config = keras.optimizers.Optimizer.get_config(self)
        return {
            **config,
            **super().get_config(),
            **({"learning_rate": None} if self._rate_by_depth else {}),
            "geometry": serialize(self.geometry),
            "momentum": self.momentum,
            "inner_optimizer": serialize(self.inner_optimizer),
            "decay_steps": self.decay_steps,
            "largest_change": self.largest_change,
            "largest_decrease": self.largest_decrease,
            "moment_refresh": self.moment_refresh,
            "factor_refresh": self.factor_refresh,
            "input_decay": self.input_decay,
        }
