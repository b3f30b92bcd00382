"""`discrete`: the sigmas of a Markov chain with a finite number of betas."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from kernel import Schedule, UsageError, hookimpl
from kernel_plugins.schedules._curve import checked, uniform

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class DiscreteSchedule(Schedule):
    """Sample and train on the sigmas of `levels` betas, sqrt((1 - alpha-bar) / alpha-bar).

    Ho et al. 2020, section 4; DiffWave (Kong et al. 2021) has 50 betas from 1e-4 to 0.05. A grid
    takes levels at equal distances; training draws every level equally often.
    """

    levels: int = Field(1000, ge=2, description="number of betas")
    beta_first: float = Field(1e-4, gt=0, lt=1, description="beta of the first, cleanest level")
    beta_last: float = Field(0.02, gt=0, lt=1, description="beta of the last level")
    spacing: Literal["linear", "quadratic", "sigmoid"] = Field(
        "linear", description="equal steps of beta, of its root, or along a sigmoid from -6 to 6"
    )
    stratified: bool = Field(False, description="spread the draws of a batch evenly")

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.beta_last < self.beta_first:
            raise ValueError(f"beta_last {self.beta_last} is below beta_first {self.beta_first}")
        return self

    @property
    def sigma_min(self) -> float:
        """Return the sigma of the first level."""
        return self.table[0]

    @property
    def sigma_max(self) -> float:
        """Return the sigma of the last level."""
        return self.table[-1]

    @cached_property
    def table(self) -> tuple[float, ...]:
        """Return the sigma of each level, rising."""
        sigmas, log_signal = [], 0.0
        for index in range(self.levels):
            log_signal += math.log1p(-self._beta(index / (self.levels - 1)))
            sigmas.append(math.sqrt(math.expm1(-log_signal)))
        return tuple(sigmas)

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0.

        Raises UsageError when steps < 1 or steps > levels.
        """
        if checked(steps) > self.levels:
            raise UsageError(
                f"schedule 'discrete' has {self.levels} levels and cannot make {steps} steps; ask "
                f"for fewer, or raise schedule.levels"
            )
        last = self.levels - 1
        parts = (last * (1 - index / max(steps - 1, 1)) for index in range(steps))
        return [*(self.table[round(part)] for part in parts), 0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas [count]."""
        import torch

        levels = (uniform(count, generator, self.stratified) * self.levels).long()
        return torch.tensor(self.table)[levels]

    def _beta(self, part: float) -> float:
        first, last = self.beta_first, self.beta_last
        if self.spacing == "quadratic":
            return (math.sqrt(first) + part * (math.sqrt(last) - math.sqrt(first))) ** 2
        if self.spacing == "sigmoid":
            part = 1 / (1 + math.exp(6 - 12 * part))
        return first + part * (last - first)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `discrete`."""
    return DiscreteSchedule
