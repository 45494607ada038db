"""Keras callbacks that watch lifted training."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from typing import Any
from typing import final

import keras
import numpy as np
from keras import ops

from keras_lifted.checks import check_names
from keras_lifted.models.persistence import build_optimizer
from keras_lifted.optimizers import BlockCoordinateDescent
from keras_lifted.optimizers import lifted_part
from keras_lifted.penalties.base import KEYED
from keras_lifted.updates.iteration import LONGEST


@final
class LiftedTensorBoard(keras.callbacks.Callback):
    """Writes what each lifted block does, for TensorBoard.

    Of the last training batch, for every block l of `model.lifted_blocks`:

        gap/l               mean_i P_l(x_l,i, z_l,i)
        weighted_penalty/l  w_l · mean_i P_l(x_l,i, z_l,i)
        penalty_weight/l    w_l
        curvature/l         L_l
        step_size/l         min(c · w_l / L_l, 100), c ≤ 1 the caution
        lifted_variable/l   histogram of 256 values of x_l

    and for all blocks together `iterations` (updates per lifted variable),
    `residual` (relative change in the last of them; 1 where no tolerance asks
    for it) and `caution`. Updates that use no curvature, such as the sweep,
    have neither `curvature` nor `step_size`; blocks of infinite weight, which
    are not lifted, have nothing.

    The files lie in `<log_dir>/lifted`, so `log_dir` can be that of
    `keras.callbacks.TensorBoard` and both show in one dashboard.

    Args:
        log_dir: directory of the logs, a string or path.
        update_freq: "epoch" writes at the end of every epoch, with the epoch
            (from 0) as its step; an integer n every n training batches and
            "batch" every one, with the number of batches trained as its
            step. On JAX each write waits for the device.
        histograms: whether to write `lifted_variable`.

    Raises:
        ImportError: if TensorBoard is not installed.
        TypeError: if the model that is trained is not lifted.
        ValueError: if `update_freq` is neither "epoch", "batch" nor a
            positive integer.

    Source: the penalties of Wang et al., arXiv 2510.09796, section 3; the step
    sizes of section 4.

    Example:

    >>> import keras, keras_lifted as kl, numpy as np, pathlib, tempfile
    >>> model = kl.LiftedSequential(
    ...     [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    ... )
    >>> model.compile(optimizer="adam", loss="mse")
    >>> logs = pathlib.Path(tempfile.mkdtemp())
    >>> callback = kl.callbacks.LiftedTensorBoard(logs)
    >>> x, y = np.ones((8, 4), "float32"), np.ones((8, 1), "float32")
    >>> _ = model.fit(x, y, verbose=0, callbacks=[callback])
    >>> len(list((logs / "lifted").glob("events.out.tfevents.*")))
    1
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        update_freq: str | int = "epoch",
        histograms: bool = True,
    ) -> None:
        super().__init__()
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError(
                "LiftedTensorBoard writes through the tensorboard package, which "
                "is not installed. Install it with "
                "`pip install keras-lifted[tensorboard]`."
            )
        self.log_dir = os.fspath(log_dir)
        self.update_freq = update_freq
        self.histograms = histograms
        self._every = _batches(update_freq)
        self._writer: Any = None
        self._trained = 0
        self._in_epoch = 0

    def set_model(self, model: Any) -> None:
        """Keras calls this before training."""
        optimizer = getattr(model, "optimizer", None)
        if lifted_part(optimizer) is None:
            raise TypeError(
                "LiftedTensorBoard shows the blocks of a keras_lifted.LiftedModel "
                "compiled with an optimizer. Received: the model "
                f"'{model.name}' of class {type(model).__name__} with the "
                f"optimizer {optimizer!r}. Build it as "
                "keras_lifted.LiftedModel(model.inputs, model.outputs) and "
                "compile that, or use keras.callbacks.TensorBoard alone."
            )
        if not model._lifting.watched:
            model._lifting.watched = True
            model.make_train_function(force=True)
        super().set_model(model)

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the file."""
        self._writer = _summary().create_file_writer(
            os.path.join(self.log_dir, "lifted")
        )
        self._trained = int(ops.convert_to_numpy(self._optimizer.iterations))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Batches are numbered anew in every epoch."""
        self._in_epoch = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Write if `update_freq` batches have passed since the last time."""
        before = self._trained
        self._trained += batch + 1 - self._in_epoch  # steps_per_execution of them
        self._in_epoch = batch + 1
        if self._every and self._trained // self._every > before // self._every:
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            self._write(self._trained)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write, with `update_freq="epoch"`."""
        if not self._every:
            self._write(epoch)
        self._writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the file."""
        self._writer.close()

    @property
    def _optimizer(self) -> BlockCoordinateDescent:
        optimizer = lifted_part(self.model.optimizer)
        assert optimizer is not None
        return optimizer

    def _write(self, step: int) -> None:
        summary = _summary()
        with self._writer.as_default(), summary.record_if(True):
            for name, value in self._scalars().items():
                summary.scalar(name, value, step=step)
            for name, values in self._samples().items():
                summary.histogram(name, values, step=step)

    def _scalars(self) -> dict[str, float]:
        optimizer = self._optimizer
        state = _values(optimizer)
        caution = float(state["caution"])
        scalars = {
            name: float(state[name]) for name in ("iterations", "residual", "caution")
        }
        for index, name in self._lifted():
            gap, weight, curvature = (
                float(state[key][index]) for key in ("gap", "weight", "curvature")
            )
            scalars[f"gap/{name}"] = gap
            scalars[f"weighted_penalty/{name}"] = weight * gap
            scalars[f"penalty_weight/{name}"] = weight
            if optimizer.lifted_update.needs_curvature:
                scalars[f"curvature/{name}"] = curvature
                scalars[f"step_size/{name}"] = (
                    min(caution * weight / curvature, LONGEST) if curvature else LONGEST
                )
        return scalars

    def _samples(self) -> dict[str, np.ndarray]:
        if not self.histograms:
            return {}
        sample = _values(self._optimizer)["sample"]
        return {f"lifted_variable/{name}": sample[i] for i, name in self._lifted()}

    def _lifted(self) -> list[tuple[int, str]]:
        """Index and name of the blocks whose weight is finite."""
        penalty = self._optimizer.penalty
        return [
            (i, block.name)
            for i, block in enumerate(self.model.lifted_blocks)
            if math.isfinite(penalty.weight_of(block.name))
        ]


@final
class PenaltyScheduler(keras.callbacks.Callback):
    """Sets the penalty weights at the start of every epoch: continuation.

    The method of auxiliary coordinates raises `w` step by step, so that early
    epochs are easy and late ones close to the nested network.

    Args:
        schedule: `schedule(epoch, weights)` returns the new weight, one number
            for all blocks or a dict by activation name (others keep theirs).
            `epoch` counts from 0, `weights` is `{activation name: weight}`.

    Raises:
        ValueError: if the model is not lifted, a weight is not positive and
            finite, or a name is unknown.

    Source: Carreira-Perpiñán & Wang, arXiv 1212.5921, section 3.

    Example:

    >>> import keras_lifted as kl
    >>> ramp = kl.callbacks.PenaltyScheduler(lambda epoch, w: 10.0 * 2**epoch)
    >>> ramp.schedule(3, {"relu": 1.0})
    80.0
    """

    def __init__(self, schedule: Callable[[int, dict[str, float]], Any]) -> None:
        super().__init__()
        self.schedule = schedule

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Set the weights."""
        model = self.model
        optimizer = lifted_part(getattr(model, "optimizer", None))
        if optimizer is None:
            raise ValueError(
                "PenaltyScheduler sets the penalty weights of a LiftedModel. "
                f"Received: the model '{model.name}' of {type(model).__name__}."
            )
        build_optimizer(model)
        assert optimizer.lifted is not None
        values = ops.convert_to_numpy(optimizer.lifted.weight).copy()
        names = [block.name for block in model.lifted_blocks]
        now = dict(zip(names, map(float, values), strict=True))
        new = self.schedule(epoch, dict(now))
        by_name = new if isinstance(new, dict) else dict.fromkeys(names, new)
        check_names(by_name, names, *KEYED, default=False)
        for i, name in enumerate(names):
            if name in by_name and math.isfinite(optimizer.penalty.weight_of(name)):
                values[i] = _weight(by_name[name], name)
        optimizer.lifted.weight.assign(values)


def _weight(value: Any, name: str) -> float:
    weight = float(value)
    if not math.isfinite(weight) or weight <= 0:
        raise ValueError(
            "A penalty weight must be positive and finite. Received from the "
            f"schedule: {weight} for '{name}'."
        )
    return weight


def _values(optimizer: BlockCoordinateDescent) -> dict[str, np.ndarray]:
    return {
        name: ops.convert_to_numpy(variable)
        for name, variable in vars(optimizer.lifted).items()
        if isinstance(variable, keras.Variable)
    }


def _batches(update_freq: Any) -> int:
    """Batches between two writes; 0 for once an epoch."""
    if update_freq == "epoch":
        return 0
    if update_freq == "batch":
        return 1
    if isinstance(update_freq, bool) or not (
        isinstance(update_freq, int) and update_freq >= 1
    ):
        raise ValueError(
            "`update_freq` must be 'epoch', 'batch' or an integer of at least 1 "
            f"(training batches). Received: update_freq={update_freq!r}"
        )
    return update_freq


def _summary() -> Any:
    """TensorFlow's summary writers; every backend uses them, as in Keras."""
    from tensorflow import summary

    return summary
