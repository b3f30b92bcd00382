"""`rf`: logit-normal training draws and the grid that is linear in the flow's time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from kernel import NativePath, Schedule, UsageError, hookimpl
from kernel_plugins.mathematics.rf import STANDARD, RectifiedFlow
from kernel_plugins.schedules._curve import checked, normal, rising

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from kernel import LatentSpec


class RfSchedule(Schedule):
    """Sample at equal steps of t = sigma / (sigma_data + sigma); train where logit t is normal.

    sigma_data is the objective's, if it is on this path, else 1. Esser et al. 2024, section 3.1
    (logit-normal draws: ln sigma is normal). sigma is infinite at t = 1, so the grid starts at the
    t of `sigma_max`. `shift` S moves the grid and the draws to t' = S t / (1 + (S - 1) t), that is
    sigma' = S sigma (their eq. 23).

    Longer signals need more noise to be hidden. With `shift_slope` the shift grows with the
    positions of a latent (the product of its sizes): ln S = ln shift + shift_slope (positions -
    shift_positions). FLUX.1 (Black Forest Labs 2024) has the shift exp(0.5) at 256 positions and
    exp(1.15) at 4096: a slope of 0.65 / 3840.
    """

    process: ClassVar[str | None] = RectifiedFlow.name

    sigma_min: float = Field(0.002, gt=0, description="smallest sigma in training")
    sigma_max: float = Field(80.0, gt=0, description="largest sigma; t = sigma / (1 + sigma)")
    mean: float = Field(0.0, description="mean of logit t in training")
    std: float = Field(1.0, gt=0, description="standard deviation of logit t in training")
    shift: float = Field(1.0, gt=0, description="factor on every sigma, for longer signals")
    shift_slope: float = Field(0.0, description="growth of ln shift with each position")
    shift_positions: int = Field(
        0, ge=0, description="number of positions at which the shift is `shift`"
    )
    stratified: bool = Field(False, description="spread the draws of a batch evenly")

    _rising = rising("sigma_min", "sigma_max")

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0. Raises UsageError when steps < 1.

        The steps of t are equal down to 0, or to sigma_min where they would come below it.
        """
        checked(steps)
        # Shifting a grid whose first sigma is sigma_max / shift leaves the first at sigma_max.
        middle = self._middle
        start, end = (each / (middle + each) for each in (self.sigma_max, self.sigma_min))
        last, count = (end, steps - 1) if start / steps < end else (0.0, steps)
        times = (last + (start - last) * (1 - index / count) for index in range(1, steps))
        return [self.sigma_max, *(middle * t / (1 - t) for t in times), 0.0]

    def sized(self, latent: LatentSpec) -> RfSchedule:
        """Return the schedule for such latents: their shift, no slope.

        Raises UsageError for a slope that moves every sigma out of the range of a float.
        """
        if self.shift_slope == 0:
            return self
        growth = self.shift_slope * (math.prod(latent.size) - self.shift_positions)
        if abs(growth) > 100:
            raise UsageError(
                f"schedule.shift_slope {self.shift_slope:g} makes the shift exp({growth:.0f}) for "
                f"{math.prod(latent.size)} positions; set a slope like that of FLUX.1, 0.65 / 3840"
            )
        return self.model_copy(update={"shift": self.shift * math.exp(growth), "shift_slope": 0.0})

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas [count]."""
        logit = normal(count, generator, self.stratified) * self.std + self.mean
        return (logit.exp() * self._middle).clamp(self.sigma_min, self.sigma_max).float()

    @property
    def _middle(self) -> float:
        """Return the shifted sigma of t = 1/2."""
        path: NativePath = self.adopted or STANDARD
        return self.shift * float(path.sigma(0.5))


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `rf`."""
    return RfSchedule
