"""The base of the schedules whose grid and draws follow one curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from kernel import Schedule, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Curve", "checked", "normal", "rising", "uniform"]


def rising(low: str, high: str) -> Any:
    """Return a validator that refuses options where `low` is not below `high`."""

    def check(schedule: Schedule) -> Schedule:
        least, most = getattr(schedule, low), getattr(schedule, high)
        if least >= most:
            raise ValueError(f"{high} {most:g} is not above {low} {least:g}")
        return schedule

    return model_validator(mode="after")(check)


def checked(steps: int) -> int:
    """Return `steps`. Raises UsageError when it is below 1."""
    if steps < 1:
        raise UsageError(f"a schedule cannot make a grid of {steps} steps; ask for at least 1")
    return steps


def uniform(count: int, generator: torch.Generator, stratified: bool) -> Tensor:
    """Return `count` draws in [0, 1), float64; stratified, one in each of `count` equal parts.

    Stratified draws come in random order: items of a batch must not be sorted by sigma.
    """
    import torch

    draws = torch.rand(count, generator=generator, dtype=torch.float64)
    if not stratified:
        return draws
    order = torch.randperm(count, generator=generator)
    return (order + draws) / count


def normal(count: int, generator: torch.Generator, stratified: bool) -> Tensor:
    """Return `count` standard normal draws, float64; stratified, one in each equal quantile."""
    import torch

    # `rand` gives multiples of 2^-53; the shift by half of one avoids 0, the quantile of -inf.
    draws: Tensor = torch.special.ndtri(uniform(count, generator, stratified) + 2.0**-54)
    return draws


class Curve(Schedule):
    """Follow sigma(part), which falls from sigma_max at part 0 to sigma_min at part 1.

    A grid takes equal steps of `part`; training draws `part` uniformly.
    """

    stratified: bool = Field(False, description="spread the draws of a batch evenly")

    _rising = rising("sigma_min", "sigma_max")

    def sigma(self, part: Any) -> Any:
        """Return sigma at `part` in [0, 1], a float or a tensor."""
        raise NotImplementedError

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0. Raises UsageError when steps < 1."""
        inner = (self.sigma(index / max(steps - 1, 1)) for index in range(1, checked(steps) - 1))
        ends = [self.sigma_max, self.sigma_min][:steps]
        return [ends[0], *inner, *ends[1:], 0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas [count]."""
        sigma: Tensor = self.sigma(uniform(count, generator, self.stratified))
        return sigma.clamp(self.sigma_min, self.sigma_max).float()
