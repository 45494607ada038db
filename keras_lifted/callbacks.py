"""Keras callbacks that watch lifted training."""

import contextlib
import importlib.util
import math
import os
from collections.abc import Sequence
from typing import Any, final

import keras
import numpy as np
from keras import ops

from keras_lifted.checks import is_count
from keras_lifted.continuation import PenaltyScheduler
from keras_lifted.models.watch import PlanFit
from keras_lifted.optimizers import BlockCoordinateDescent, lifted_part
from keras_lifted.updates.iteration import LONGEST

__all__ = ["LiftedTensorBoard", "PenaltyScheduler", "PlanFit"]

_ABOUT = {
    "lifted": "of all blocks together, in the last training batch",
    "relative_gap": "√(mean penalty / mean ½‖x‖²): how far x is from σ(z), no units",
    "weighted_penalty": "penalty weight times mean penalty, in units of the loss",
    "penalty_weight": "w, in units of the loss over those of ½‖x‖²",
    "curvature": "largest curvature of the energy in the lifted variable",
    "step_size": "length of its steps, in units of 1 / (penalty weight)",
    "lifted_variable": "256 values of the lifted variable",
}


@final
class LiftedTensorBoard(keras.callbacks.Callback):
    """A callback that writes what each lifted block does, for TensorBoard.

    It writes, of the last training batch, for every block l of `model.lifted_blocks`,

        relative_gap/l      √(P_l / ½‖x_l‖²) of means over the samples
        weighted_penalty/l  w_l · mean_i P_l(x_l,i, z_l,i), in units of the loss
        penalty_weight/l    w_l
        curvature/l         L_l
        step_size/l         min(c · w_l / L_l, 100), c ≤ 1 the caution
        lifted_variable/l   histogram of 256 values of x_l

    and for all blocks together `lifted/iterations` (updates per lifted variable),
    `lifted/residual` (relative change in the last of them; 1 where no tolerance asks
    for it) and `lifted/caution`. Updates that use no curvature, such as the sweep,
    have none of these, nor `curvature` and `step_size`; blocks of infinite weight,
    which are not lifted, have nothing. Each card describes what it shows, and the
    Graphs page shows the layers. The files lie in `<log_dir>/lifted`, so `log_dir` can
    be that of `keras.callbacks.TensorBoard`: one dashboard then shows both.

    Args:
        log_dir: str or path. The directory of the logs.
        update_freq: str or int. "epoch" writes at the end of every epoch, with the
            epoch (from 0) as its step; an integer n every n training batches and
            "batch" every one, with the number of batches trained as its step. On JAX
            each write waits for the device. Defaults to "epoch".
        histograms: bool. Whether `lifted_variable` is written. Defaults to True.
        blocks: list of str. The names of the blocks to show; None for all. Defaults to
            None.

    Raises:
        ImportError: If TensorBoard is not installed.
        TypeError: If the model that is trained is not lifted.
        ValueError: If `update_freq` is neither "epoch", "batch" nor a
            positive integer.

    Source: the penalties of Wang et al., arXiv 2510.09796, section 3; the step
    sizes of section 4.

    Example:

    >>> import keras_lifted as kl
    >>> kl.callbacks.LiftedTensorBoard("logs", update_freq=100).log_dir
    'logs'
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        update_freq: str | int = "epoch",
        histograms: bool = True,
        blocks: Sequence[str] | None = None,
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
        self.blocks = blocks
        self._every = _batches(update_freq)
        self._writer: Any = None
        self._trained = 0
        self._in_epoch = 0

    def set_model(self, model: Any) -> None:
        """Check the model; Keras calls this before training."""
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
        _write_graph(self._writer, self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Number the batches from the start."""
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
        """Write if `update_freq` is "epoch"."""
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
        state = {
            name: ops.convert_to_numpy(variable)
            for name, variable in vars(self._optimizer.lifted).items()
            if isinstance(variable, keras.Variable)
        }
        summary = _summary()
        with self._writer.as_default(), summary.record_if(True):
            for name, value in self._scalars(state).items():
                about = _ABOUT[name.split("/")[0]]
                summary.scalar(name, value, step=step, description=about)
            for index, block in self._lifted() if self.histograms else ():
                name, about = f"lifted_variable/{block}", _ABOUT["lifted_variable"]
                values = state["sample"][index]
                summary.histogram(name, values, step=step, description=about)

    def _scalars(self, state: dict[str, np.ndarray]) -> dict[str, float]:
        repeated = self._optimizer.lifted_update.needs_curvature
        caution = float(state["caution"])
        shown = ("iterations", "residual", "caution") if repeated else ()
        scalars = {f"lifted/{name}": float(state[name]) for name in shown}
        for index, name in self._lifted():
            gap, size, weight, curvature = (
                float(state[key][index])
                for key in ("gap", "size", "weight", "curvature")
            )
            scalars[f"relative_gap/{name}"] = math.sqrt(gap / size) if size else 0.0
            scalars[f"weighted_penalty/{name}"] = weight * gap
            scalars[f"penalty_weight/{name}"] = weight
            if repeated:
                scalars[f"curvature/{name}"] = curvature
                scalars[f"step_size/{name}"] = (
                    min(caution * weight / curvature, LONGEST) if curvature else LONGEST
                )
        return scalars

    def _lifted(self) -> list[tuple[int, str]]:
        """Return index and name of the blocks whose weight is finite."""
        penalty = self._optimizer.penalty
        return [
            (i, block.name)
            for i, block in enumerate(self.model.lifted_blocks)
            if math.isfinite(penalty.weight_of(block.name))
            and (self.blocks is None or block.name in self.blocks)
        ]


def _write_graph(writer: Any, model: Any) -> None:
    """Write the layers for the Graphs page, which Keras does for its own classes."""
    from tensorflow.compat.v1 import SummaryMetadata

    if not getattr(model, "inputs", None):
        return
    ordinary = keras.Model(model.inputs, model.outputs, name=model.name)
    metadata = SummaryMetadata()
    metadata.plugin_data.plugin_name = "graph_keras_model"
    metadata.plugin_data.content = b"1"
    with contextlib.suppress(TypeError, ValueError, NotImplementedError):
        text = ordinary.to_json()
        with writer.as_default():
            _summary().write("keras", text, step=0, metadata=metadata)


def _batches(update_freq: Any) -> int:
    """Return the batches between two writes; 0 for once an epoch."""
    if update_freq == "epoch":
        return 0
    if update_freq == "batch":
        return 1
    if is_count(update_freq):
        return int(update_freq)
    raise ValueError(
        "`update_freq` must be 'epoch', 'batch' or an integer of at least 1 "
        f"(training batches). Received: update_freq={update_freq!r}"
    )


def _summary() -> Any:
    """Return TensorFlow's summary writers; every backend uses them, as in Keras."""
    from tensorflow import summary

    return summary
