"""The averages of the weights over the steps of a training, and those that are made afterwards.

A power-function average at step t weighs step s with p(s) = (g + 1) s^g / t^(g + 1) (Karras et al.
2024, eq. 24): its length is a fixed share of the training. From snapshots of two of them, the
average of any other length and moment is a sum that comes nearest to its profile (there, appendix
C): the minimum of the integral of (sum_i w_i p_i - p)^2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from kernel.errors import InputError, UsageError
from kernel.files import staged
from kernel.runner.processes import ALONE, Processes
from kernel.tensors import read_tensors, write_tensors
from kernel_audio_training import sharded
from kernel_audio_training.config import TrainConfig
from kernel_audio_training.parts import blend

__all__ = ["Averages", "exponent", "weights"]

EMA = "ema"
SNAPSHOTS = "snapshots"
KIND = re.compile(r"(half-life|power)-(\d+(?:\.\d+)?)")
LONGEST = 12**-0.5
"""The relative length of the plain mean of all steps, for which the exponent is 0."""


class Averages(dict[str, dict[str, Tensor]]):
    """The averages of the modules that a recipe exports, by name: each a state of tensors.

    `ema` is there always; `averages` of the settings names more. Raises UsageError for names and
    settings that cannot be.
    """

    def __init__(self, config: TrainConfig, exports: nn.ModuleDict) -> None:
        super().__init__()
        self._config = config
        self._exports = exports
        for name in (EMA, *config.averages):
            if name != EMA:
                _checked(name)
            state = exports.state_dict().items()
            self[name] = {entry: each.detach().clone() for entry, each in state}
        powers = [name for name in self if name.startswith("power-")]
        if config.snapshot_every and not powers:
            raise UsageError(
                "snapshot_every needs a power function among averages; set averages to power-0.05 "
                "and power-0.1, or leave it out"
            )
        if config.average not in self:
            kind, _ = _checked(config.average)
            if kind == "half-life" or not config.snapshot_every:
                raise UsageError(
                    f"average {config.average} is not kept; add it to averages"
                    + ", or set snapshot_every" * (kind == "power")
                )

    @property
    def watched(self) -> dict[str, Tensor]:
        """Return the average that is validated and heard; an empty one stands for the weights."""
        name = self._config.average if self._config.average in self else EMA
        return {} if name == EMA and not self._config.ema else self[name]

    def advance(self, step: int) -> None:
        """Move all averages to the weights after a step, the first of which is 1."""
        for name, state in self.items():
            blend(state, self._exports, self._decay(name, step))

    def load(self, checkpoint: Path) -> None:
        """Take up the averages of a checkpoint. Raises InputError for one that it lacks."""
        for name, state in self.items():
            path = checkpoint / f"{name}.safetensors"
            if not path.is_file():
                raise InputError(
                    f"{checkpoint} has no average {name}; take it out of averages, or train anew"
                )
            for entry, value in read_tensors(path).items():
                state[entry].copy_(value)

    def snapshot(self, folder: Path, step: int, processes: Processes = ALONE) -> None:
        """Write the power-function averages into a folder of the step, which appears whole."""
        powers = [name for name in self if name.startswith("power-")]
        states = {name: sharded.whole(self[name]) for name in powers}
        if not processes.first:
            return
        with staged(folder / SNAPSHOTS / f"{step:08d}", replace=True) as stage:
            for name, state in states.items():
                write_tensors(stage / f"{name}.safetensors", state)

    def exported(self, folder: Path, step: int) -> dict[str, Tensor]:
        """Return the state that the model takes at a step, made from snapshots where that is asked.

        Raises InputError where there are no snapshots.
        """
        name = self._config.average
        if name in self:
            return sharded.whole(self.watched or self._exports.state_dict())
        _, length = _checked(name)
        stored = [
            (int(path.parent.name), _checked(path.stem)[1], path)
            for path in sorted((folder / SNAPSHOTS).glob("*/power-*.safetensors"))
            if int(path.parent.name) <= step
        ]
        if not stored:
            raise InputError(
                f"{folder} has no snapshots to make average {name} from; train with snapshot_every"
            )
        moments = [(moment, exponent(own)) for moment, own, _ in stored]
        shares = weights(moments, (step, exponent(length)))
        result = sharded.whole(self._exports.state_dict())
        names = [entry for entry, _ in self._exports.named_parameters()]
        sums = {entry: torch.zeros_like(result[entry], dtype=torch.float64) for entry in names}
        for share, (_, _, path) in zip(shares, stored, strict=True):
            values = read_tensors(path)
            for entry, total in sums.items():
                total.add_(values[entry].to(total), alpha=share)
        return result | {entry: total.to(result[entry].dtype) for entry, total in sums.items()}

    def _decay(self, name: str, step: int) -> float:
        # A young average must forget its random start faster than an old one forgets anything.
        young = (1 + step) / (10 + step)
        if name == EMA:
            return min(self._config.ema, young)
        kind, value = _checked(name)
        if kind == "half-life":
            return min(math.pow(0.5, 1 / value), young)
        # The discrete form of eq. 24: the first step takes the weights as they are.
        return math.pow(1 - 1 / step, exponent(value) + 1)


def exponent(length: float) -> float:
    """Return g of the power function whose standard deviation is a share of its training.

    The largest root of (g + 2)^2 (g + 3) = (g + 1) / length^2.
    """
    inverse = length**-2
    roots = np.roots([1, 7, 16 - inverse, 12 - inverse])
    return max(float(roots.real.max()), 0.0)


def weights(stored: Sequence[tuple[float, float]], wanted: tuple[float, float]) -> list[float]:
    """Return how much of each stored average makes the wanted one; each is (step, exponent)."""
    every = [*stored, wanted]
    # Profiles of unit norm, so that the system is well conditioned over a whole training.
    norms = np.sqrt([_product(each, each) for each in every])
    products = np.array([[_product(one, other) for other in every] for one in every])
    products /= norms[:, None] * norms[None, :]
    shares, *_ = np.linalg.lstsq(products[:-1, :-1], products[:-1, -1], rcond=1e-12)
    scaled: list[float] = (shares * norms[-1] / norms[:-1]).tolist()
    return scaled


def _product(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the integral of the product of two profiles.

    (a + 1) (b + 1) m^(a + b + 1) / ((a + b + 1) s^(a + 1) t^(b + 1)), m being the smaller of s, t.
    """
    (s, a), (t, b) = one, other
    m = min(s, t)
    share = math.pow(m / s, a) * math.pow(m / t, b) / max(s, t)
    return share * (a + 1) * (b + 1) / (a + b + 1)


def _checked(name: str) -> tuple[str, float]:
    """Return kind and value of an average's name. Raises UsageError for one that cannot be."""
    found = KIND.fullmatch(name)
    kind, value = (found[1], float(found[2])) if found else ("", 0.0)
    if not value or (kind == "power" and value > LONGEST):
        raise UsageError(
            f"there is no average {name!r}; write half-life-STEPS, or power-LENGTH with a length "
            f"up to {LONGEST:.3f} of the training"
        )
    return kind, value
