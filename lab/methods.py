"""The optimizers that are compared.

| method | optimizer | trains by | first learning rate of the search |
|---|---|---|---|
| sgd | SGD, momentum 0.9 | backprop | 0.2 |
| adam | Adam | backprop | 0.001 |
| adamw | AdamW | backprop | 0.001 |
| muon | Muon, its output layer with Muon or with AdamW | backprop | 0.002 |
| isgm | ISGM, no argument | lifting | its default, not searched, with its decay |
| lifted_adam | BlockCoordinateDescent("adam") | lifting | its default, not searched |
| block_muon | Muon, each block of a stack as a matrix | backprop | 0.002 |
| isgm_4+2, isgm_2+1 | ISGM, stacks in rounds | lifting | its default, not searched |
| adam_4+2, adam_2+1 | Adam, stacks in rounds | lifting | 0.001 |
| isgm_rounds, adam_rounds | the same, as many rounds as it takes | lifting | as above |

Everything else is Keras's default. Keras's Muon serves biases and convolution
kernels by AdamW at the same rate, which its scaling makes comparable; whether
it serves the output layer by AdamW too, as its documentation asks, is part of
the search.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import keras
from block_muon import BlockMuon

import keras_lifted as kl

# Names of the last layers of the networks.
OUTPUTS = ["output", "dense_5"]
# Arguments of `in_rounds`, each with a method of its own.
ROUNDS = ("4+2", "2+1", "rounds")


@dataclasses.dataclass(frozen=True)
class Method:
    """An optimizer.

    Attributes:
        make: the optimizer, from keyword arguments.
        start: learning rate at which the search starts; None to keep the
            default, without a search or a schedule.
        choices: arguments that the search chooses among.
        lifted: whether it trains a `kl.LiftedModel`.
        decays: whether its rate falls in a way of its own, whose horizon
            the runs set as they do that of the baselines' cosine.
    """

    make: Callable[..., keras.optimizers.Optimizer]
    start: float | None = None
    choices: tuple[dict[str, Any], ...] = ({},)
    lifted: bool = False
    decays: bool = False


def _isgm(**arguments: Any) -> keras.optimizers.Optimizer:
    """`kl.optimizers.ISGM`, its penalty also as a weight of the default one."""
    # A number of steps: the horizon is not that of each call of `fit`.
    return kl.optimizers.ISGM(**{"decay_steps": 1, **_with_penalty(arguments)})


def _lifted_adam(**arguments: Any) -> keras.optimizers.Optimizer:
    rate = arguments.pop("learning_rate", 0.001)
    adam = keras.optimizers.Adam(rate)
    return kl.optimizers.BlockCoordinateDescent(adam, **_with_penalty(arguments))


def in_rounds(counts: str) -> kl.updates.AllAtOnce:
    """So many rounds forward and backward, "4+2"; as many as it takes, "rounds"."""
    if counts == "rounds":
        return kl.updates.AllAtOnce()
    forward, backward = map(int, counts.split("+"))
    return kl.updates.AllAtOnce(forward, backward, tolerance=None)


def _isgm_in_rounds(counts: str, **arguments: Any) -> keras.optimizers.Optimizer:
    return _isgm(lifted_update=in_rounds(counts), **arguments)


def _adam_in_rounds(counts: str) -> keras.optimizers.Optimizer:
    update = in_rounds(counts)
    return kl.optimizers.BlockCoordinateDescent("adam", lifted_update=update)


def _with_penalty(arguments: dict[str, Any]) -> dict[str, Any]:
    """A number as penalty, as JSON has it, is the weight of a Bregman penalty."""
    penalty = arguments.get("penalty")
    if isinstance(penalty, (int, float)):
        return arguments | {"penalty": kl.penalties.Bregman(weight=float(penalty))}
    return arguments


METHODS: dict[str, Method] = {
    "sgd": Method(
        lambda **arguments: keras.optimizers.SGD(momentum=0.9, **arguments),
        0.2,
    ),
    "adam": Method(keras.optimizers.Adam, 0.001),
    "adamw": Method(keras.optimizers.AdamW, 0.001),
    "muon": Method(
        keras.optimizers.Muon, 0.002, choices=({}, {"exclude_layers": OUTPUTS})
    ),
    "isgm": Method(_isgm, lifted=True, decays=True),
    "lifted_adam": Method(_lifted_adam, lifted=True),
    "block_muon": Method(BlockMuon, 0.002),
    **{
        f"isgm_{counts}": Method(
            functools.partial(_isgm_in_rounds, counts), lifted=True, decays=True
        )
        for counts in ROUNDS
    },
    **{
        f"adam_{counts}": Method(
            functools.partial(_adam_in_rounds, counts), 0.001, lifted=True
        )
        for counts in ROUNDS
    },
}
