"""`rf`: logit-normal training draws and the grid that is linear in the flow's time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from kernel import Schedule, UsageError, hookimpl

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class RfSchedule(Schedule):
    """Sample at equal steps of t = sigma / (1 + sigma); train where logit t is normal.

    Esser et al. 2024, section 3.1 (logit-normal draws: ln sigma is normal). t = 1 is an infinite
    sigma, so the grid starts at the t of `sigma_max` instead. `shift` S moves both to
    t' = S t / (1 + (S - 1) t), that is sigma' = S sigma (their eq. 23).
    """

    sigma_min: float = Field(0.002, gt=0, description="smallest sigma in training")
    sigma_max: float = Field(80.0, gt=0, description="largest sigma; t = sigma / (1 + sigma)")
    mean: float = Field(0.0, description="mean of logit t in training")
    std: float = Field(1.0, gt=0, description="standard deviation of logit t in training")
    shift: float = Field(1.0, gt=0, description="factor on every sigma, for longer signals")

    def sigmas(self, steps: int) -> list[float]:
        """Return steps + 1 descending sigmas, the last 0. Raises UsageError when steps < 1."""
        if steps < 1:
            raise UsageError(
                f"schedule 'rf' cannot make a grid of {steps} steps; ask for at least 1"
            )
        # Shifting a grid whose first sigma is sigma_max / shift leaves the first at sigma_max.
        start = self.sigma_max / (self.shift + self.sigma_max)
        times = (start * (1 - index / steps) for index in range(1, steps))
        return [self.sigma_max, *(self.shift * t / (1 - t) for t in times), 0.0]

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return `count` training sigmas [count]."""
        import torch

        logit = torch.randn(count, generator=generator) * self.std + self.mean
        return (logit.exp() * self.shift).clamp(self.sigma_min, self.sigma_max)


@hookimpl
def schedule() -> type[Schedule]:
    """Offer `rf`."""
    return RfSchedule
