"""The optimizer of a training, its state, and the learning rate of each step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kernel.errors import UsageError, did_you_mean
from kernel_audio_training.config import TrainConfig

__all__ = ["build", "factor", "load", "moments"]

UNFIT = {
    "LBFGS": "evaluates the losses several times a step",
    "SparseAdam": "takes sparse gradients alone",
}
"""Optimizers of torch.optim that a training cannot drive, and why."""


def build(config: TrainConfig, groups: Sequence[Mapping[str, Any]]) -> Optimizer:
    """Return the optimizer that the settings name, for groups of parameters with their own options.

    Raises UsageError for a name, an option or parameters that cannot be.
    """
    found = {
        name: each
        for name, each in vars(torch.optim).items()
        if isinstance(each, type) and issubclass(each, Optimizer) and each is not Optimizer
    }
    if config.decay_from is not None and config.decay != "inverse-sqrt":
        raise UsageError(
            f"decay_from belongs to decay = inverse-sqrt, not to {config.decay}; leave it out"
        )
    name = config.optimizer
    if name not in found:
        raise UsageError(
            f"torch.optim has no optimizer {name!r}{did_you_mean(name, found)}; choose one of "
            f"{', '.join(sorted(found.keys() - UNFIT))}"
        )
    if name in UNFIT:
        raise UsageError(f"optimizer {name} {UNFIT[name]}; choose another, e.g. AdamW")
    parameters = inspect.signature(found[name]).parameters.keys()
    known = parameters - {"params", "lr", "weight_decay"}
    own = known & {"betas"} | {"params", "learning_rate", "weight_decay", "clip"}
    for group in groups:
        if strange := sorted(group.keys() - own):
            raise UsageError(f"optimizer {name} has no {strange[0]}; leave it out of its group")
        if group["weight_decay"] and "weight_decay" not in parameters:
            raise UsageError(f"optimizer {name} has no weight decay; set weight_decay = 0")
    for option in config.optimizer_options:
        if option not in known:
            raise UsageError(
                f"optimizer {name} has no option {option!r}{did_you_mean(option, known)}; it has "
                f"{', '.join(sorted(known))}"
            )
    try:
        make: Callable[..., Optimizer] = found[name]
        given = [dict(group) for group in groups]
        return make(given, lr=config.learning_rate, **config.optimizer_options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"optimizer {name} cannot be made: {error}; change optimizer_options, or choose "
            f"another optimizer"
        ) from None


def factor(config: TrainConfig, step: int) -> float:
    """Return the share of the peak learning rate at a step, which are counted from 0.

    The rate rises in a line over `warmup` steps. Then `cosine` falls to a hundredth at the last
    step (Loshchilov and Hutter 2017, eq. 5), and `inverse-sqrt` with 1 / sqrt(step / decay_from)
    after that step (Karras et al. 2024).
    """
    rise = min(1.0, (step + 1) / max(config.warmup, 1))
    if config.decay == "cosine":
        part = max(0, step - config.warmup) / max(1, config.steps - config.warmup)
        return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * part)))
    if config.decay == "inverse-sqrt":
        start = config.decay_from or max(config.warmup, 1)
        return rise / math.sqrt(max((step + 1) / start, 1.0))
    return rise


def moments(optimizer: Optimizer, names: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return what the optimizer knows of each parameter, `ENTRY/PARAMETER`."""
    # By name, because the order of a network's parameters may change with its code.
    return {
        f"{entry}/{name}": value
        for name, parameter in names.items()
        for entry, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load(
    optimizer: Optimizer, names: Mapping[str, nn.Parameter], stored: Mapping[str, Tensor]
) -> None:
    """Restore what `moments` has returned."""
    state: dict[int, dict[str, Tensor]] = {}
    order = {
        id(parameter): index
        for index, parameter in enumerate(
            each for group in optimizer.param_groups for each in group["params"]
        )
    }
    for key, value in stored.items():
        entry, _, name = key.partition("/")
        state.setdefault(order[id(names[name])], {})[entry] = value
    # Which tensors belong on the device and which on the CPU is torch's to know.
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
