"""The decay of the learning rate over the steps of one `fit`."""

from typing import Any, final

import keras
from keras import ops

from keras_lifted.backend import eagerly
from keras_lifted.optimizers.settings import check_rate

Tensor = Any


@final
@keras.saving.register_keras_serializable(package="keras_lifted")
class FitDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls to zero over a planned number of steps.

        rate · (1 − p^(3/2)),    p the part of the planned steps that were taken

    A straight line is the best of theory; this one stays high a little longer. Without
    a plan, and when a planned `fit` is over, the rate is constant.

    Args:
        rate: float. The rate at the start.
        steps: int. The steps over which it falls, and after which it stays zero. None
            for the steps of each `fit`, which `SteepestDescent.plan_fit` is told.
            Defaults to None.

    Source: Defazio et al., "Optimal linear decay learning rate schedules and further
    refinements", arXiv 2310.07831.

    Example:

    >>> import keras_lifted as kl
    >>> decay = kl.optimizers.FitDecay(0.5, steps=4)
    >>> [round(float(decay(step)), 2) for step in range(5)]
    [0.5, 0.44, 0.32, 0.18, 0.0]
    """

    def __init__(self, rate: float, steps: int | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.rate: Any = float(check_rate(rate))
        self.begin: Any = 0.0
        self.length: Any = float(steps or 0)

    def build(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Keep rate and plan in variables of `optimizer`, so that both can change."""
        for name in ("rate", "begin", "length"):
            variable = optimizer.add_variable(
                (),
                keras.initializers.Constant(getattr(self, name)),
                dtype="float32",
                aggregation="only_first_replica",
                name=f"decay_{name}",
            )
            setattr(self, name, variable)

    def start_at(self, rate: float) -> None:
        """Set the rate at the start, in a traced step too."""
        with eagerly():
            self.rate.assign(rate)

    def plan(self, begin: int, length: int) -> None:
        """Let the rate fall over `length` steps from the step `begin` on."""
        self.begin.assign(float(begin))
        self.length.assign(float(length))

    def hold(self, rate: float) -> None:
        """Keep the rate at `rate` from now on."""
        self.rate.assign(check_rate(rate))
        self.length.assign(0.0)

    def part(self, step: Any) -> Tensor:
        """Return the part of the rate that is left after so many steps."""
        begin, length = (ops.cast(v, "float32") for v in (self.begin, self.length))
        passed = (ops.cast(step, "float32") - begin) / ops.maximum(length, 1.0)
        falling = 1.0 - ops.power(ops.clip(passed, 0.0, 1.0), 1.5)
        falling = ops.where(passed < 1.0, falling, 0.0 if self.steps else 1.0)
        return ops.where(length > 0.0, falling, 1.0)

    def __call__(self, step: Any) -> Tensor:
        """Return the rate of the step after `step` ones."""
        return ops.cast(self.rate, "float32") * self.part(step)

    def get_config(self) -> dict[str, Any]:
        return {"rate": float(ops.convert_to_numpy(self.rate)), "steps": self.steps}
